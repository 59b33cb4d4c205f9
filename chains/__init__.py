"""What is on chain."""
