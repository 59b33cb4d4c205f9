"""Whole behaviours, judged from outside."""
