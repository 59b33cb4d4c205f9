"""The guarantees, each as a test that can fail."""
