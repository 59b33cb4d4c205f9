"""Tests of how people are asked for money."""
