"""What proposed transactions need, against a real node."""
