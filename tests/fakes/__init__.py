"""Fakes that fill our Protocols, and partners as real servers on loopback."""
