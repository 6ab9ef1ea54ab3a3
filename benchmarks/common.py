"""What every benchmark shares: alternate the two sides, take medians, describe the machine."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
import time
from typing import Any

import psutil
import torch

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_settings
from lab_utils.core.process import versions
from lab_utils.core.settings import Settings
from lab_utils.data.cifar10 import cifar10_folder
from lab_utils.data.dataset import Dataset, Split
from lab_utils.data.sources import read
from lab_utils.setup import check, hardware


@dataclass(frozen=True)
class Row:
    """One comparison; ``ratio`` above 1 means that ours is better."""

    what: str
    ours: float
    baseline: float
    ratio: float
    runs: int


def compare_seconds(
    what: str, ours: Callable[[], float], baseline: Callable[[], float], runs: int
) -> Row:
    """Call both in turn, ``runs`` times; each returns its seconds. Medians and their ratio."""
    pairs = []
    for index in range(runs):
        pairs.append((ours(), baseline()))
        say(f"{what}, run {index + 1}: {pairs[-1][0]:.2f} s against {pairs[-1][1]:.2f} s")
    a, b = (median(side) for side in zip(*pairs, strict=True))
    return Row(what, a, b, b / a, runs)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def say(text: str) -> None:
    """Progress goes to stderr; stdout is for the table."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def course(prepared: bool = False) -> Iterator[Callable[..., float]]:
    """A function that trains the course's recipe and returns its seconds.

    It trains one epoch, or as many batches as it is given; where ``prepared``, in a process set up
    as the lab's are (``lab_utils.core.process``).
    """
    # By its path: as a module of this package it would be prepared as the lab is.
    command = [sys.executable, str(Path(__file__).with_name("baseline.py")), str(cifar10_folder())]
    # This process has set them.
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "THP_MEM_ALLOC_ENABLE")
    environment = {k: v for k, v in os.environ.items() if prepared or k not in ours}
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **options) as process:

        def epoch(batches: int | None = None) -> float:
            process.stdin.write(f"{batches or 'epoch'}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield epoch
        process.stdin.close()


def cifar10(train_images: int | None = None) -> tuple[Dataset, Split]:
    """All 50,000 training images (or the first ``train_images``) with no validation, and the test.

    The published times train on all of them; nothing is chosen on the test split here: every
    schedule is fixed beforehand and evaluated once, at its end.
    """
    settings = load_settings("quick", data="cifar10")
    found, test = read("cifar10", "train", settings), read("cifar10", "test", settings)
    train = Split(
        torch.from_numpy(found.pixels[:train_images]),
        torch.from_numpy(found.targets[:train_images]),
    )
    nothing = Split(train.images[:0], train.targets[:0])
    dataset = Dataset("cifar10", "CIFAR-10", "", "", found.classes, train, nothing, "")
    return dataset, Split(torch.from_numpy(test.pixels), torch.from_numpy(test.targets))


def run(name: str, measure: Callable[[argparse.Namespace], list[Row]], **options: Any) -> None:
    """Parse the command line, measure, print the table, write the JSON.

    ``options`` are further arguments: name = (default, help).
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=measure.__doc__
    )
    parser.add_argument("--json", type=Path, help="write the rows here too")
    for option, (default, text) in options.items():
        flag = f"--{option.replace('_', '-')}"
        kind = {"nargs": "+"} if isinstance(default, list) else {"type": type(default)}
        parser.add_argument(flag, default=default, help=f"{text} (default: {default})", **kind)
    arguments = parser.parse_args()
    try:
        machine = hardware.choose(Settings(experiment=name))
        described = vars(check.describe()) | {
            "device": str(machine.device),
            "precision": machine.precision,
        }
        load = psutil.getloadavg()[0]  # of other programs, on average in the minute before
        rows = measure(arguments)
    except LabError as error:
        sys.exit(f"benchmarks.{name}: {error}")
    print(
        f"{described['cpu']}, {described['cores']} cores, {described['gpu'] or 'no GPU'}, "
        f"{described['os']}, torch {described['software']['torch']}, "
        f"{described['device']} {described['precision']}"
    )
    width = max(len(row.what) for row in rows)
    print(f"{'':{width}}  {'ours':>12}  {'baseline':>12}  {'ratio':>7}  runs")
    for row in rows:
        print(
            f"{row.what:{width}}  {row.ours:12,.3f}  {row.baseline:12,.3f}  "
            f"{row.ratio:6.2f}x  {row.runs}"
        )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        made = {"commit": versions()["git_commit"], "load": load}
        found = {"machine": described, **made, "rows": [asdict(row) for row in rows]}
        write_json(arguments.json, found)
