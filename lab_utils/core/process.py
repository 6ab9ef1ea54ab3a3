"""The process: what it needs before it trains, what it is made of, how much memory it took."""

import ctypes
from importlib.metadata import version
import json
import os
import platform
import subprocess
import sys
from typing import Any

import psutil

from lab_utils.core.params import project_root

PACKAGES = (
    "torch", "torchvision", "numpy", "matplotlib", "seaborn", "scikit-learn", "jupyterlab", "nbval",
    "papermill",
)  # fmt: skip


def prepare() -> None:
    """Let this process train fast, with the same results; called where a run is opened.

    Threads that wait for each other spin for some microseconds, so that the next operation finds
    them awake (a tenth of a step of SimpleCNN), and then sleep, so that a wait that lasts takes no
    core from other programs. OpenMP reads this when torch loads it, so call this before torch is
    imported. OMP_WAIT_POLICY and GOMP_SPINCOUNT, if set, stay.

    Every step frees some hundred MB and asks for them again. The C library would hand them back to
    the system in between, which was a sixth of a step of SimpleCNN: so it is told to keep blocks of
    up to 128 MB, and PyTorch to ask for huge pages.
    """
    if os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE") == "PASSIVE":
        # Turns of a loop in GNU's OpenMP, which PyTorch has on Linux; others do not read it.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
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


def threads() -> int | None:
    """How many threads PyTorch computes with in this process; None where it is not loaded."""
    torch = sys.modules.get("torch")
    return torch and torch.get_num_threads()


def versions() -> dict[str, Any]:
    """``git_commit``, ``python`` and the ``versions`` of the packages, for a run's manifest."""
    return {
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _git_commit() -> str | None:
    """The project's commit, ``+changes`` where tracked code differs; None outside a checkout.

    JupyterLab writes outputs into a notebook as soon as it runs; only its cells are code.
    """
    try:
        commit = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = _git("diff", "--name-only", "--relative", "HEAD").splitlines()
        return commit + ("+changes" if any(map(_code_differs, changed)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _code_differs(name: str) -> bool:
    path = project_root() / name
    if path.suffix != ".ipynb" or not path.is_file():
        return True
    texts = _git("show", f"HEAD:./{name}"), path.read_text(encoding="utf-8")
    try:
        before, now = ([cell["source"] for cell in json.loads(text)["cells"]] for text in texts)
    except (KeyError, TypeError, ValueError):
        return True
    return before != now


def _git(*words: str) -> str:
    options = {"cwd": project_root(), "stderr": subprocess.DEVNULL, "text": True, "timeout": 10}
    return subprocess.check_output(["git", *words], **options)
