"""The Ethereum adapter's decisions."""
