"""The process: what it needs before it trains, what it is made of, how much memory it took."""

import ctypes
from importlib.metadata import version
import os
import platform
import subprocess
import sys
from typing import Any

import psutil

from lab_utils.core.params import project_root

_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "papermill")


def prepare() -> None:
    """Let this process train fast; called where a run is opened, and by the ``lab`` command.

    Threads that wait for each other should sleep, not spin: beside another busy program spinning
    made an epoch up to fifty times slower, and on a quiet machine it gains nothing. OpenMP reads
    this when torch loads it, so it takes effect where a run is opened before torch is imported, as
    the notebooks do and as the ``lab`` command does for them; later it changes nothing. Whoever has
    set OMP_WAIT_POLICY keeps it.

    Every step of a training frees some hundred MB and asks for them again. The C library would hand
    them back to the system in between, and the page faults of getting them anew were a sixth of a
    step of SimpleCNN. So it is told to keep blocks of up to 128 MB, and PyTorch to ask for huge
    pages. Results are the same with and without.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):  # musl has none
        _keep_freed_blocks(ctypes.CDLL(None))


def _keep_freed_blocks(libc: ctypes.CDLL) -> None:
    mmap_threshold, trim_threshold = -3, -1  # mallopt's numbers for them
    # Older releases of glibc refuse more than 32 MB. Where the first is refused the second must not
    # be set: it ends the automatic growth of the first, and every block over 128 kB is handed back.
    if libc.mallopt(mmap_threshold, 1 << 27) or libc.mallopt(mmap_threshold, 1 << 25):
        libc.mallopt(trim_threshold, 2**31 - 1)


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in megabytes (10^6 bytes)."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def versions() -> dict[str, Any]:
    """``git_commit``, ``python`` and the ``versions`` of the packages, for a run's manifest."""
    return {
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _git_commit() -> str | None:
    """The project's commit, with ``+changes`` where the tree differs; None outside a checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(project_root()), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None
