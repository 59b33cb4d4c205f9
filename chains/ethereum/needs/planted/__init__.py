"""Code that eth_call plants at the sender for the length of one call."""
