"""Rates from a real HTTP server."""
