"""Decides when a wallet is short, and remembers what was done about it."""
