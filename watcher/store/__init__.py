"""The one store: PostgreSQL."""
