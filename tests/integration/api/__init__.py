"""The HTTP API on a real database, over a real socket."""
