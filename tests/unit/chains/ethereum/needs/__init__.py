"""What proposed transactions need, where no node is asked."""
