"""The Solana adapter on local nodes."""
