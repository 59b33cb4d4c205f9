"""The schema, step by step. Each version is written out, so that no later change of a table alters it."""
