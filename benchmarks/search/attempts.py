"""Which images are held out, what a try reaches on them, and the file that keeps it."""

import argparse
import csv
from dataclasses import replace
from pathlib import Path
import sys
import time

import torch

from benchmarks.common import cifar10, say
from benchmarks.time_to_accuracy import trained
from lab_utils import LabError
from lab_utils.core.params import parse_assignments, project_root, resolve
from lab_utils.core.settings import Settings
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup import hardware
from lab_utils.training.fit import EVAL_BATCH

VIEWS = ("none", "flip", "unsure", "flip_shift")  # values of the setting tta
TRIED = project_root() / "report" / "results" / "benchmarks" / "search.csv"


def held_out(dataset: Dataset, of_each: int = 500) -> tuple[Dataset, Split]:
    """``dataset`` without ``of_each`` training images of each class, and these."""
    images, targets = dataset.train.images, dataset.train.targets
    generator = torch.Generator().manual_seed(1000)
    chosen = []
    for name in range(len(dataset.classes)):
        places = (targets == name).nonzero().flatten()
        chosen.append(places[torch.randperm(len(places), generator=generator)[:of_each]])
    held = torch.cat(chosen)
    kept = torch.ones(len(targets), dtype=torch.bool)
    kept[held] = False
    train = Split(images[kept], targets[kept])
    return replace(dataset, train=train), Split(images[held], targets[held])


def attempt(settings: Settings, dataset: Dataset, held: Split) -> dict[str, float]:
    """Seconds of the training, and of ``held`` the share that is right by each way of looking."""
    machine = hardware.choose(settings)
    start = time.perf_counter()
    training = trained(settings, dataset, machine)
    hardware.synchronize(machine.device)
    seconds = time.perf_counter() - start
    batches = Batches(held, EVAL_BATCH, dataset.normalization, machine.device)
    reached = {
        view: round(accuracy(*predict(training.judged, batches, machine, view)), 4)
        for view in VIEWS
    }
    return {"train_seconds": round(seconds, 1), **reached}


def keep(row: dict[str, object], path: Path) -> None:
    """Add ``row`` to the CSV file at ``path``."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Train a recipe with changes for some seeds, and keep what it reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=main.__doc__)
    parser.add_argument("experiment")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--seeds", type=int, default=4, help="how many, from 0")
    parser.add_argument("--csv", type=Path, default=TRIED)
    arguments = parser.parse_args()
    try:
        changes = parse_assignments(arguments.changes) | {"data": "cifar10"}
        settings = resolve(arguments.experiment, changes)
        dataset, held = held_out(cifar10()[0])
        for seed in range(arguments.seeds):
            found = attempt(settings.model_copy(update={"seed": seed}), dataset, held)
            told = {"experiment": arguments.experiment, "changes": " ".join(arguments.changes)}
            keep(told | {"seed": seed} | found, arguments.csv)
            say(f"{told['experiment']} {told['changes']}, seed {seed}: {found}")
    except LabError as error:
        sys.exit(f"benchmarks.search: {error}")
