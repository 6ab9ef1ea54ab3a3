"""One SimpleCNN epoch of the same recipe, lab against course; GFLOP/s against the peak."""

import argparse

from benchmarks.common import Row, cifar10, compare_seconds, course, run, timed
from lab_utils import hardware
from lab_utils.optim import make_optimizer, make_schedule
from lab_utils.settings import load_settings
from lab_utils.training import new_model, train_epoch, training_batches
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def measure(arguments: argparse.Namespace) -> list[Row]:
    """50,000 images, batch 128, Adam 1e-3, flip and padded crop on both sides."""
    settings = load_settings("case_study", data="cifar10")
    dataset, _ = cifar10()
    machine = hardware.choose(settings)
    model = new_model(settings, dataset).to(machine.device, memory_format=torch.channels_last)
    batches = training_batches(settings, dataset, machine.device)
    optimizer = make_optimizer(settings, model)
    schedule = make_schedule(settings, optimizer, len(batches))

    def ours() -> None:
        train_epoch(model, batches, optimizer, schedule, machine)

    with course() as their_epoch:
        row = compare_seconds(
            "SimpleCNN epoch, seconds", lambda: timed(ours), their_epoch, arguments.runs
        )
    inputs, targets = next(iter(batches))
    with FlopCounterMode(display=False) as counter, machine.autocast():
        nn.functional.cross_entropy(model(inputs).float(), targets).backward()
    rate = counter.get_total_flops() / len(targets) * len(dataset.train) / row.ours / 1e9
    peak = hardware.matmul_gflops(machine, machine.dtype)
    achieved = Row(
        f"GFLOP/s, against a {machine.precision} matrix product", rate, peak, rate / peak, 1
    )
    return [row, achieved]


if __name__ == "__main__":
    run("epoch", measure, runs=(3, "epochs of each side"))
