"""What a proposed Solana transaction needs of its sender, found by running it."""
