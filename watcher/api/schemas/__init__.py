"""What is answered and sent, as JSON Schema 2020-12: all that is there is described, and fields may be added."""
