"""What the operator declared."""
