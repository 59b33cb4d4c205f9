"""What a proposed transaction needs of its sender, found by running it on a node without sending it."""
