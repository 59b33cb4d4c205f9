"""What backends want covered: transactions, checkouts, swaps, and money added on a press."""
