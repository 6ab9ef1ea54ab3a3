"""Notebook 03: the networks, what they cost, and what they predict."""
