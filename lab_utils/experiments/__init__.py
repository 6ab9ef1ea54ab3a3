"""Notebook 07: finished runs side by side, grouped by recipe and tested."""
