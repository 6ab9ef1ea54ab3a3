"""Images per second: the lab's whole-batch tensors against torchvision's DataLoader recipe."""

import argparse
import itertools
from statistics import median
import time

import torch

from benchmarks import baseline
from benchmarks.common import Row, cifar10, run, say
from lab_utils.core.params import load_settings
from lab_utils.data.batches import training_batches
from lab_utils.data.cifar10 import cifar10_folder


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Shuffle, flip, padded crop and normalise, batch 128; an epoch of ours per run."""
    settings = load_settings("case_study", data="cifar10")
    dataset, _ = cifar10()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = training_batches(settings, dataset, device)
    loaders = {workers: baseline.loader(cifar10_folder(), workers) for workers in (0, 2)}

    def ours() -> float:
        start = time.perf_counter()
        for _ in batches:
            pass
        if device.type == "cuda":
            torch.cuda.synchronize()
        return len(dataset.train) / (time.perf_counter() - start)

    def theirs(workers: int) -> float:
        # The clock starts at the first batch, so that starting the workers is not counted.
        steps = iter(loaders[workers])
        next(steps)
        start, count = time.perf_counter(), 0
        for inputs, _ in itertools.islice(steps, arguments.steps):
            count += len(inputs.to(device))
        return count / (time.perf_counter() - start)

    ours()
    rates: dict[object, list[float]] = {"ours": [], 0: [], 2: []}
    for _ in range(arguments.runs):
        rates["ours"].append(ours())
        for workers in (0, 2):
            rates[workers].append(theirs(workers))
        say(", ".join(f"{side}: {values[-1]:,.0f} images/s" for side, values in rates.items()))
    middle = {side: median(values) for side, values in rates.items()}
    return [
        Row(
            f"images/s, DataLoader with {workers} workers",
            middle["ours"],
            middle[workers],
            middle["ours"] / middle[workers],
            arguments.runs,
        )
        for workers in (0, 2)
    ]


if __name__ == "__main__":
    run(
        "input_pipeline",
        measure,
        runs=(5, "runs of each side"),
        steps=(150, "batches of 128 that the DataLoader is timed for"),
    )
