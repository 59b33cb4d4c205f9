"""What proposed transactions need, proven on a local chain."""
