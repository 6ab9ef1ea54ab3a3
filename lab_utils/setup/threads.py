"""How many threads compute: measured, because beside a busy program more of them can be slower.

PyTorch shares each operation out to all threads and waits for the last of them; a training step has
hundreds of operations. A thread that the system has put aside for another program's turn holds up
all the others each time, and the less they compute the less of the next turns is theirs. One thread
waits for nobody: it only shares its core.

Nothing else that was tried mends it: threads that wait asleep or spinning, shorter turns, memory
that is handled otherwise. Threads bound to a core each lose less, but stay behind one thread, and
two trainings would be bound to the same cores (``python -m benchmarks.busy``; notebook 08).
"""

from collections.abc import Callable
from functools import cache
from statistics import median
import time
from typing import Any, NamedTuple

import psutil
import torch

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings

CLEARLY = 1.2  # so many times as fast must fewer threads be: a quiet machine keeps to all of them
HOPELESS = 6.0  # a number that has taken so many of the quickest steps is not tried again
ROUNDS = 3
IMAGES, ENOUGH = 64, 0.03  # of a step that is timed: at most so many, or so long with one thread


class Threads(NamedTuple):
    """How many threads compute, and why."""

    count: int
    reason: str
    others: float = 0.0  # cores that other programs kept busy meanwhile


@cache
def most() -> int:
    """As many as PyTorch takes unasked: one for each core, or OMP_NUM_THREADS."""
    return torch.get_num_threads()


def choose_threads(
    settings: Settings, device: torch.device, step: Callable[[int], Any] | None = None
) -> Threads:
    """Let PyTorch use the settings' number of threads, or the one that is fastest for ``step``.

    With ``auto`` all threads, all but one, half of them and one are tried on ``step(images)``, for
    about a second; without ``step``, and where a GPU computes, it is all.
    """
    everything = most()  # before any other number is set
    if settings.threads != "auto":
        found = Threads(settings.threads, "the settings ask for it")
    elif device.type != "cpu" or step is None or everything == 1:
        found = Threads(everything, "that is PyTorch's own choice")
    else:
        found = _fastest(step)
    torch.set_num_threads(found.count)
    return found


def use_threads_of(run: Run) -> None:
    """Let this process use as many threads as the training of ``run``, else as its 01_setup."""
    everything = most()
    if run.settings.threads != "auto":
        torch.set_num_threads(run.settings.threads)
        return
    manifest = run.manifest
    for step in ("04_training", "01_setup"):
        if count := manifest.get(step, {}).get("threads"):
            torch.set_num_threads(min(count, everything))
            return


def _fastest(step: Callable[[int], Any]) -> Threads:
    everything, programs, images = most(), OtherPrograms(), 4

    def seconds_with(count: int) -> float:
        torch.set_num_threads(count)
        start = time.perf_counter()
        step(images)
        return time.perf_counter() - start

    # The first step with a number of images allocates memory and chooses algorithms.
    while min(seconds_with(1), seconds_with(1)) < ENOUGH and images < IMAGES:
        images *= 2
    tried = {n: [] for n in sorted({1, everything // 2, everything - 1, everything})}
    for _ in range(ROUNDS):
        for count, seconds in tried.items():
            quickest = min(map(min, filter(None, tried.values())), default=0.0)
            # All threads have two tries: one may be slow by chance.
            if sum(seconds) <= HOPELESS * quickest or (count == everything and len(seconds) < 2):
                seconds.append(seconds_with(count))
    times = {count: median(seconds) for count, seconds in tried.items()}
    count = min(times, key=times.__getitem__)
    if times[everything] < CLEARLY * times[count]:
        count = everything
    reason = ", ".join(f"{1000 * taken:,.0f} ms with {n}" for n, taken in times.items())
    others = programs.read()
    busy = busy_sentence(others)
    return Threads(count, f"{images} images take {reason}{'; ' if busy else ''}{busy}", others)


class OtherPrograms:
    """Tells how many cores other programs keep busy, on average since it last did."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self.read()

    def read(self) -> float:
        """Cores; one reader at a time, because the system's clock is read by differences."""
        everything = psutil.cpu_percent() * psutil.cpu_count()
        return max(0.0, everything - self._own.cpu_percent()) / 100


def busy_sentence(others: float) -> str:
    """What to know where other programs keep ``others`` cores busy; empty where hardly any."""
    cores = psutil.cpu_count()
    if others < max(0.5, 0.1 * cores):
        return ""
    return f"other programs keep {others:.1f} of {cores} cores busy"
