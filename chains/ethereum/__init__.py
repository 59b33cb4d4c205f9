"""Ethereum and the networks that speak its JSON-RPC."""
