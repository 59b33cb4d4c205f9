"""The HTTP edge: bytes in, problems or answers out."""
