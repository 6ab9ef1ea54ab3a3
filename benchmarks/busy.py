"""Images a second of training beside busy programs: the lab, the lab on all threads, the course.

Each training runs in a process of its own, a few seconds long, and the sides alternate. The busy
programs are sessions of their own, as they are when somebody else starts them: Linux gives each
session its share of a core. A side may set variables for its process: ``"all GOMP_SPINCOUNT=0"``.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
import tempfile
import time

import torch

from benchmarks.common import Row, cifar10, course, run, say
from lab_utils.core.params import load_settings
from lab_utils.data.dataset import Split
from lab_utils.setup import hardware
from lab_utils.training.fit import Quiet, fit
from lab_utils.training.loop import Training

# Both end by themselves, should this benchmark be killed.
LOOP = [sys.executable, "-c", "import time\nwhile time.process_time() < 300: pass"]
TRAIN = [sys.executable, "-m", "benchmarks.busy", "--one", "all", "--seconds", "600"]
CONDITIONS = {
    "quiet": [],
    "one looping program": [LOOP],
    "two looping programs": [LOOP, LOOP],
    "another training": [TRAIN],
}
SIDES = ("auto", "all", "1")  # the setting `threads`; "all" is as many as there are cores
COURSE_BATCHES = 30


class EnoughError(Exception):
    """The time is over."""


class Watch(Quiet):
    """Ends a training after ``seconds``, and says how its threads were chosen."""

    def __init__(self, seconds: float) -> None:
        self.end, self.steps = time.perf_counter() + seconds, 0

    def step(self, step: int, loss: torch.Tensor) -> None:
        self.steps += 1
        if time.perf_counter() > self.end:
            raise EnoughError

    def notice(self, text: str) -> None:
        say(f"    {text}")


def train(threads: str, seconds: float) -> float:
    """Images a second of SimpleCNN in ``seconds``, of which choosing the threads is a part."""
    count = torch.get_num_threads() if threads == "all" else threads
    settings = load_settings("case_study", data="cifar10", epochs=10_000, threads=count)
    dataset, test = cifar10()
    dataset = replace(dataset, val=Split(test.images[:500], test.targets[:500]))
    training = Training(settings, dataset, hardware.choose(settings))
    with tempfile.TemporaryDirectory() as folder, suppress(EnoughError):
        fit(training, Path(folder), progress=Watch(3.0))  # allocates memory, fills caches
    training.choices.clear()
    watch, start = Watch(seconds), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, suppress(EnoughError):
        fit(training, Path(folder), progress=watch)
    return watch.steps * settings.batch_size / (time.perf_counter() - start)


@contextmanager
def beside(programs: Sequence[Sequence[str]]) -> Iterator[None]:
    """``programs`` run meanwhile, each in a session of its own."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen(p, start_new_session=True, **options) for p in programs]
    try:
        time.sleep(15 if TRAIN in programs else 0.5)  # until it has loaded and trains
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(arguments: argparse.Namespace) -> list[Row]:
    """SimpleCNN as the course trains it; each condition begins with its share of the quiet rate."""
    if arguments.one:
        print(train(arguments.one, arguments.seconds))
        sys.exit(0)
    rates: dict[tuple[str, str], list[float]] = {}

    def note(condition: str, side: str, rate: float) -> None:
        rates.setdefault((condition, side), []).append(rate)
        say(f"{condition}, {side}: {rate:,.0f} images/s")

    with course() as batches:
        for _ in range(arguments.runs):
            for condition in arguments.conditions:
                with beside(CONDITIONS[condition]):
                    for side in arguments.sides:
                        threads, *variables = side.split()
                        command = [sys.executable, "-m", "benchmarks.busy", "--one", threads]
                        command += ["--seconds", str(arguments.seconds)]
                        own = os.environ | dict(text.split("=") for text in variables)
                        done = subprocess.run(command, env=own, stdout=subprocess.PIPE, check=True)
                        note(condition, side, float(done.stdout))
                    if arguments.course:
                        seconds = batches(COURSE_BATCHES)
                        note(condition, "course", COURSE_BATCHES * 128 / seconds)
    found = {key: median(values) for key, values in rates.items()}
    quiet = found["quiet", "auto"]  # both must be among what is measured
    rows = []
    for (condition, side), rate in found.items():
        ours, what = found[condition, "auto"], f"{condition}: against {side}"
        if side == "auto":
            what, rate = f"{condition}: against itself, quiet", quiet
        rows.append(Row(what, ours, rate, ours / rate, arguments.runs))
    return rows


if __name__ == "__main__":
    run(
        "busy",
        measure,
        runs=(3, "times that each side trains in each condition"),
        seconds=(15.0, "of each training"),
        conditions=([*CONDITIONS], "what runs beside"),
        sides=(
            [*SIDES],
            "settings of threads (all is every core), with variables that go with them",
        ),
        course=(1, "0 leaves the course's recipe out"),
        one=("", "internal: train with these threads and print the images a second"),
    )
