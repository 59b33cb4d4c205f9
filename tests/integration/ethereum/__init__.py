"""The Ethereum adapter against a real anvil and scripted nodes."""
