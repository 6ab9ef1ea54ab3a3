"""One SimpleCNN epoch of the same recipe, lab against course; GFLOP/s against the peak.

GFLOP/s count the convolutions and matrix products of forward and backward pass, over the time of
the whole step. Muon's own matrix products are not counted: its time is.
"""

import argparse
from dataclasses import replace
from statistics import median

from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import Row, cifar10, compare_seconds, course, run, say, timed
from lab_utils import LabError
from lab_utils.core.params import load_settings
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.setup import hardware
from lab_utils.speed.profiling import training_flops
from lab_utils.training.loop import Training


def epoch(training: Training) -> None:
    """Train once on all images, and wait until that is done."""
    training.epoch()
    hardware.synchronize(training.machine.device)


def rate(name: str, training: Training, image_seconds: float, peak: float, runs: int) -> Row:
    """Achieved GFLOP/s over those of a matrix product in the same precision."""
    achieved = training_flops(training.model) / image_seconds / 1e9
    what = f"{name} GFLOP/s, against a {training.machine.precision} matrix product"
    return Row(what, achieved, peak, achieved / peak, runs)


def measure(arguments: argparse.Namespace) -> list[Row]:
    """50,000 images, batch 128, Adam 1e-3, flip and padded crop on both sides."""
    if min(arguments.steps, arguments.runs) < 1:
        raise LabError("--steps and --runs must be at least 1.")
    settings = load_settings("case_study", data="cifar10")
    large = load_settings(arguments.experiment, data="cifar10")
    dataset, _ = cifar10()
    machine = hardware.choose(settings)
    training = Training(settings, dataset, machine)
    with course() as their_epoch:
        row = compare_seconds(
            "SimpleCNN epoch, seconds",
            lambda: timed(lambda: epoch(training)),
            their_epoch,
            arguments.runs,
        )
    peak = hardware.matmul_gflops(machine, machine.dtype)
    image_seconds = row.ours / len(dataset.train)
    return [
        row,
        rate("SimpleCNN", training, image_seconds, peak, 1),
        large_network(large, dataset, arguments.steps, arguments.runs),
    ]


def large_network(settings: Settings, dataset: Dataset, steps: int, runs: int) -> Row:
    """The same for an experiment that computes more: some steps, and the peak in between."""
    machine, name = hardware.choose(settings), settings.experiment
    settings = settings.model_copy(update={"train_sides": ()})  # operations are of full images
    images = steps * settings.batch_size
    first = Split(dataset.train.images[:images], dataset.train.targets[:images])
    training = Training(settings, replace(dataset, train=first), machine)
    epoch(training)  # allocates memory and chooses algorithms
    seconds, peaks = [], []
    for index in range(runs):
        seconds.append(timed(lambda: epoch(training)))
        peaks.append(hardware.matmul_gflops(machine, machine.dtype))
        say(f"{name}, run {index + 1}: {seconds[-1]:.2f} s, {peaks[-1]:.0f} GFLOP/s")
    with FlopCounterMode(display=False) as counter:
        training.optimizer.step()
    say(f"not counted: {counter.get_total_flops() / 1e9:.2f} GFLOP of the optimiser, each step")
    image_seconds = median(seconds) / len(first)
    return rate(name, training, image_seconds, median(peaks), runs)


if __name__ == "__main__":
    run(
        "epoch",
        measure,
        runs=(3, "epochs of each side"),
        experiment=("ninety_four", "recipe of params.yaml whose GFLOP/s are measured too"),
        steps=(10, "steps of it, in each of the runs"),
    )
