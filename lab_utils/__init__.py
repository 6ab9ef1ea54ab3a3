"""What the notebooks of the CIFAR-10 lab import so that their cells can stay short.

A room for each notebook (``setup``, ``data``, ``model``, ``training``, ``evaluation``,
``deployment``, ``experiments``, ``speed``, ``insight``) and ``core``, which all of them use.
"""

import re

__version__ = "1.0.0"
# As Python and NumPy, CUDA and MPS, cuBLAS, the allocators and loaders of Linux and Windows say it.
OUT_OF_MEMORY = re.compile(
    "MemoryError|out of memory|ALLOC_FAILED|not enough memory|bad_alloc|paging file is too small|"
    "(can't|cannot|unable to|failed to) (allocate|map segment|start new thread)", re.IGNORECASE
)  # fmt: skip


class LabError(Exception):
    """Something the user can mend; the message says what is wrong and what to do, in a sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython's hook: in a notebook the sentence stands alone, without the lab's own frames.
        return [f"LabError: {self}"]
