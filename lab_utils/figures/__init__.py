"""Every plot of the lab, one module per notebook: takes data, returns a Figure.

Nothing here shows or saves: a notebook shows a figure as the last value of a cell, and
``Run.save_figure`` stores it with its caption.
"""
