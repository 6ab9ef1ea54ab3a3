"""Time and memory against the number of images, the batch size and the width of the network.

Each configuration trains a whole epoch in a process of its own, so that its peak memory is its own.
The baseline column is what proportional growth from the first row would give: a ratio of 1 is
linear, above 1 is better than linear.
"""

import argparse
from dataclasses import replace
import json
import subprocess
import sys

from benchmarks.common import Row, cifar10, run, say, timed
from benchmarks.epoch import epoch
from lab_utils.core.params import load_settings
from lab_utils.core.process import peak_memory_mb
from lab_utils.data.dataset import Split
from lab_utils.setup import hardware
from lab_utils.training.loop import Training

IMAGES = (5_000, 50_000, 500_000)
BATCHES = (32, 64, 128, 256, 512, 1024)
WIDTHS = (16, 32, 64, 128)
WARM_UP = 3  # steps


def one(images: int, batch_size: int, width: int | None) -> dict[str, float]:
    """Seconds of one epoch over ``images`` and the process's peak memory in MB."""
    name = "sprint" if width else "case_study"
    changes = {"widths": (width, 4 * width, 4 * width)} if width else {}
    settings = load_settings(name, data="cifar10", batch_size=batch_size, **changes)
    machine = hardware.choose(settings)
    dataset, _ = cifar10()
    repeats = -(-images // len(dataset.train))
    train = Split(
        dataset.train.images.repeat(repeats, 1, 1, 1)[:images],
        dataset.train.targets.repeat(repeats)[:images],
    )
    dataset = replace(dataset, train=train)
    few = replace(
        dataset,
        train=Split(*(part[: WARM_UP * batch_size] for part in (train.images, train.targets))),
    )
    Training(settings, few, machine).epoch()  # not timed: memory is taken, algorithms are chosen
    training = Training(settings, dataset, machine)
    return {"seconds": timed(lambda: epoch(training)), "memory": peak_memory_mb()}


def measure(arguments: argparse.Namespace) -> list[Row]:
    """SimpleCNN for images and batch size; SpeedNet at stride 2 for width."""
    if arguments.one:
        images, batch_size, width = json.loads(arguments.one)
        print(json.dumps(one(images, batch_size, width)))
        sys.exit(0)

    def apart(*configuration: int | None) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.scaling", "--one", json.dumps(configuration)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result = json.loads(done.stdout.splitlines()[-1])
        say(f"{configuration}: {result['seconds']:.1f} s an epoch, {result['memory']:,.0f} MB")
        return result

    rows = []
    groups = [
        ("images", IMAGES, lambda n: (n, 128, None), lambda n: n),
        ("batch size", BATCHES, lambda b: (50_000, b, None), lambda b: 1),
        # Work grows with the square of the width: every layer has it at both ends.
        ("width", WIDTHS, lambda w: (50_000, 250, w), lambda w: w * w),
    ]
    for label, values, configuration, growth in groups:
        results = [apart(*configuration(value)) for value in values]
        for value, result in zip(values, results, strict=True):
            linear = results[0]["seconds"] * growth(value) / growth(values[0])
            what = f"{label} {value:,}: epoch seconds ({result['memory']:,.0f} MB)"
            rows.append(Row(what, result["seconds"], linear, linear / result["seconds"], 1))
    return rows


if __name__ == "__main__":
    run("scaling", measure, one=("", "internal: measure one configuration and print it"))
