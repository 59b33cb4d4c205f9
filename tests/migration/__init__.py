"""The schema, as old databases meet it."""
