"""Webhooks to real sockets."""
