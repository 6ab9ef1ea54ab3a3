"""Notebook 01: what this machine has, which device and precision suit it, and how fast it is."""
