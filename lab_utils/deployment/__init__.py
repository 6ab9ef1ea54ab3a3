"""Notebook 06: the trained model as files, an engine that runs them, and the model card."""
