"""Pure parts: no I/O."""
