"""What is on chain, without I/O."""
