"""What each change bought, one at a time, from the course's recipe to the lab's fastest.

A row is a whole training: its epochs times the seconds of an epoch, which follow from some steps.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from statistics import median

import torch

from benchmarks import baseline
from benchmarks.common import Row, cifar10, course, run, say, timed
from lab_utils import LabError
from lab_utils.core.params import load_settings
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset
from lab_utils.setup import hardware
from lab_utils.setup.hardware import Machine
from lab_utils.speed.profiling import whole_batches
from lab_utils.training.loop import Training

WARM_UP = 3  # steps: the first ones allocate memory and choose algorithms


@dataclass(frozen=True)
class Change:
    """A training that differs from the one before it in what ``what`` says."""

    what: str
    settings: Settings
    machine: Machine
    layout: torch.memory_format = torch.channels_last
    fused: bool = True

    def epoch_seconds(self, dataset: Dataset, steps: int) -> float:
        """Seconds of one epoch with a fresh model, from those of ``steps`` steps."""
        training = Training(self.settings, dataset, self.machine)
        training.model.to(memory_format=self.layout)
        if not self.fused:  # PyTorch's default
            adam = torch.optim.Adam(training.model.parameters(), self.settings.lr)
            training.use_optimizer(adam)
        batches = whole_batches(training.batches, self.settings.batch_size, self.machine.device)
        endless = ((x.contiguous(memory_format=self.layout), y) for x, y in batches)

        def train(count: int) -> None:
            training.batches = islice(endless, count)
            training.epoch()
            hardware.synchronize(self.machine.device)

        train(WARM_UP)
        step_seconds = timed(lambda: train(steps)) / steps
        return step_seconds * len(dataset.train) / self.settings.batch_size


def changes() -> list[Change]:
    """Every change after the course's recipe; bfloat16 only where this machine multiplies in it."""
    course_recipe = load_settings("case_study", data="cifar10")
    machine = hardware.choose(course_recipe)
    float32 = replace(machine, dtype=torch.float32)
    plain = torch.contiguous_format
    found = [
        Change("+ whole batches, sums on the device", course_recipe, float32, plain, fused=False),
        Change("+ channels last", course_recipe, float32, fused=False),
    ]
    if machine.dtype == torch.bfloat16:
        found.append(Change("+ bfloat16", course_recipe, machine, fused=False))
    found.append(Change("+ fused Adam", course_recipe, machine))
    for name in ("simple_fast", "sprint"):
        settings = load_settings(name, data="cifar10")
        found.append(Change(f"recipe {name}", settings, hardware.choose(settings)))
    return found


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All 50,000 images; epochs are the recipe's, seconds of an epoch the median of the rounds."""
    if min(arguments.steps, arguments.rounds) < 1:
        raise LabError("--steps and --rounds must be at least 1.")
    dataset, _ = cifar10()
    dataset.normalization  # noqa: B018 — computed once, before any clock runs
    with course() as their_epoch, course(prepared=True) as prepared_epoch:
        sides: list[tuple[str, int, Callable[[], float]]] = [
            ("course: DataLoader, 2 workers", baseline.EPOCHS, their_epoch),
            ("+ process settings", baseline.EPOCHS, prepared_epoch),
        ]
        for change in changes():
            epoch = partial(change.epoch_seconds, dataset, arguments.steps)
            sides.append((change.what, change.settings.epochs, epoch))
        seconds: dict[str, list[float]] = {what: [] for what, _, _ in sides}
        # Round by round: a machine that changes its speed does so for all.
        for index in range(arguments.rounds):
            for what, _, epoch in sides:
                seconds[what].append(epoch())
                say(f"{what}, round {index + 1}: {seconds[what][-1]:.2f} s an epoch")
    totals = {f"{what}, {n} epochs": n * median(seconds[what]) for what, n, _ in sides}
    first = next(iter(totals.values()))
    return [
        Row(what, total, first, first / total, arguments.rounds) for what, total in totals.items()
    ]


if __name__ == "__main__":
    run(
        "changes",
        measure,
        steps=(60, "steps that an epoch's seconds are taken from; the course trains a whole one"),
        rounds=(3, "times that each change is measured"),
    )
