"""Notebook 05, the last part: why a model answers as it does, and what breaks it."""
