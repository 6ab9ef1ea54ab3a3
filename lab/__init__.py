"""The ``lab`` command: runs the notebooks, many of them, and writes the report."""
