"""Adapters against real partners."""
