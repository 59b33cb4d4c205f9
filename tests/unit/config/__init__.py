"""What the operator declares, read and judged."""
