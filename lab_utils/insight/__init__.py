"""Notebook 09: why a model answers as it does, and what breaks it."""
