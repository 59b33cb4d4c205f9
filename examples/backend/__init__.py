"""A small wallet backend: copy this folder, and start there."""
