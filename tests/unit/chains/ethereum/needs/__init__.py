"""Pure parts of what a transaction needs."""
