"""The plumbing of the CIFAR-10 lab: what the notebooks import so that their cells can stay short.

One module per notebook (``hardware``, ``data``, ``models``, ``training``, ``evaluation``,
``deployment``), and the pieces they share: ``settings`` (what to do), ``run`` (where the results
go), ``figures`` (every plot), ``report`` (run folder to PDF) and ``cli`` (the ``lab`` command).
"""

import ctypes
import os
import sys

__version__ = "1.0.0"

# Threads that wait for each other should sleep, not spin: beside any other busy program, spinning
# made an epoch on two cores up to fifty times slower, and on a quiet machine it gains nothing. The
# OpenMP library reads this once, when torch loads it: so import lab_utils before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Every step of a training frees some hundred MB and asks for them again. glibc hands large blocks
# back to the system in between, and the page faults of getting them anew were a sixth of a step of
# SimpleCNN. So it is told to keep blocks of up to 128 MB, and PyTorch to ask for huge pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def _keep_freed_blocks(libc: ctypes.CDLL) -> None:
    mmap_threshold, trim_threshold = -3, -1  # mallopt's numbers for them
    # Older releases of glibc refuse more than 32 MB. Where the first is refused the second must not
    # be set: it ends the automatic growth of the first, and every block over 128 kB is handed back.
    if libc.mallopt(mmap_threshold, 1 << 27) or libc.mallopt(mmap_threshold, 1 << 25):
        libc.mallopt(trim_threshold, 2**31 - 1)


if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):  # musl has none
    _keep_freed_blocks(ctypes.CDLL(None))


class LabError(Exception):
    """Something the user can mend; the message says what is wrong and what to do, in a sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython's hook: in a notebook the sentence stands alone, without the lab's own frames.
        return [f"LabError: {self}"]
