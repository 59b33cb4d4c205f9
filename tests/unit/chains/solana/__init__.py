"""Solana, without a node."""
