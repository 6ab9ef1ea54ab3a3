"""Notebook 04: the loop, the recipe around it, checkpoints, and what the curves say."""
