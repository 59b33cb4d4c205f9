"""The example programs keep what they show."""
