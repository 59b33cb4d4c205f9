"""Programs for developers: the demo."""
