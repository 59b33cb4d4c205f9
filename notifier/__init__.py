"""How people are asked for money."""
