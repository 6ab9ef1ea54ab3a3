"""Notebook 05: figures of merit on the test images, and calibration."""
