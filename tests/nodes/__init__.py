"""Local nodes that tests start, and the contracts they deploy."""
