"""Tests of the Stripe sandbox over a real socket."""
