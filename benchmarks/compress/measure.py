"""Networks trained, judged on the test split once, and timed in turn."""

import argparse
import copy
from pathlib import Path
from statistics import median
import sys
import tempfile
from typing import Any

import numpy as np
from scipy.stats import binomtest
import torch
from torch import nn

from benchmarks import compress
from benchmarks.common import say, timed
from benchmarks.compress.methods import TEACHING, Teaching, prune_channels
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_settings, runs_dir
from lab_utils.core.process import versions
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Dataset, Split, load, load_test
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.model.predict import predict
from lab_utils.model.summary import count_flops, count_parameters, weight_bytes
from lab_utils.setup import check, hardware
from lab_utils.setup.threads import OtherPrograms, most
from lab_utils.training.checkpoints import load_best, load_checkpoint
from lab_utils.training.fit import EVAL_BATCH, fit
from lab_utils.training.loop import Training

SHARES = (0.25, 0.5, 0.75)  # of the channels, to choose from
MAY_LOSE = 0.01  # validation accuracy: the largest share that costs no more is chosen
TEMPERATURES = (2.0, 4.0)
TRIAL_EPOCHS = 2  # of a training that chooses the temperature
CALLS = {1: 200, 256: 20}  # timed calls of each network, by images a call


class Bench:
    """The data of ``settings``, and what trains, judges and times networks on them."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.machine = settings, hardware.choose(settings)
        self.rows: list[dict[str, Any]] = []
        self.answers: dict[str, np.ndarray] = {}  # what `right` said of the test split
        self.networks: dict[str, nn.Module] = {}
        with tempfile.TemporaryDirectory() as folder:  # of a run, to which data belong
            run = Run(Path(folder), settings)
            run.begin("04_training")
            self.dataset: Dataset = load(run)
            run.finish()
            run.begin("05_evaluation")
            self.test: Split = load_test(run, self.dataset, "each network that is shown, once")

    def train(
        self, name: str, settings: Settings, model: nn.Module | None = None,
        teacher: nn.Module | None = None, temperature: float = 1.0,
    ) -> tuple[nn.Module, float]:  # fmt: skip
        """The network at its best epoch, in evaluation mode, and its validation accuracy."""
        say(f"{name}: {settings.epochs} epochs")
        training = Training(settings, self.dataset, self.machine, model)
        if teacher is not None:
            teacher.to(memory_format=torch.channels_last)
            taught = Teaching(training.batches, teacher, self.machine, temperature)
            training.batches, training.loss_function = taught, taught.loss
        folder = runs_dir() / "compress" / name.replace(" ", "_")
        fit(training, folder)
        best = load_checkpoint(folder / "checkpoints" / "best.pt")["model"]
        training.model.load_state_dict(best)
        return training.model.eval(), max(row.val_accuracy for row in training.history)

    def right(self, model: nn.Module, split: Split) -> np.ndarray:
        """Which images of ``split`` the network gets right, (N,) bool."""
        device = self.machine.device
        batches = Batches(split, EVAL_BATCH, self.dataset.normalization, device)
        logits, targets = predict(model, batches, self.machine)
        return (logits.argmax(1) == targets).numpy()

    def validate(self, model: nn.Module) -> float:
        """Accuracy on the validation images."""
        return float(self.right(model, self.dataset.val).mean())

    def judge(self, name: str, model: nn.Module, epochs: int, against: str | None = None) -> None:
        """Note a row: the test split is read once for each network that is shown.

        ``against`` is an earlier row that it is compared with, by McNemar's exact test.
        """
        right = self.right(model, self.test)
        low, high = wilson_interval(int(right.sum()), len(right))
        row = {
            "name": name, "epochs": epochs, "val_accuracy": self.validate(model),
            "test_accuracy": float(right.mean()), "low": low, "high": high,
            "parameters": count_parameters(model), "flops": count_flops(model),
            "weight_bytes": weight_bytes(model), "against": against,
        }  # fmt: skip
        if against:
            before = self.answers[against]
            only, lost = int((right & ~before).sum()), int((before & ~right).sum())
            p = binomtest(only, only + lost).pvalue if only + lost else 1.0
            row |= {"only_here": only, "only_there": lost, "p": p}
        say(f"{name}: {row['test_accuracy']:.2%} on the test split")
        self.rows.append(row)
        self.answers[name], self.networks[name] = right, model

    def time(self) -> float:
        """Note the median milliseconds of a forward pass in float32, the networks in turn.

        How many cores other programs kept busy meanwhile.
        """
        torch.set_num_threads(most())
        programs = OtherPrograms()
        for model in self.networks.values():
            model.to(memory_format=torch.channels_last)
        for images, calls in CALLS.items():
            batch = torch.zeros(images, 3, *self.test.images.shape[-2:])
            batch = batch.to(memory_format=torch.channels_last)
            seconds: dict[str, list[float]] = {name: [] for name in self.networks}
            with torch.inference_mode():
                for _ in range(calls + 3):
                    for name, model in self.networks.items():
                        seconds[name].append(timed(lambda model=model: model(batch)))  # noqa: B023
            for row in self.rows:  # the first calls allocate memory and choose algorithms
                row[f"ms_{images}"] = 1000 * median(seconds[row["name"]][3:])
        return programs.read()


def prune(bench: Bench, name: str) -> dict[str, Any]:
    """The rows of pruning; which shares were tried, with validation accuracies, and the chosen."""
    trained, settings = finished(name)
    again = settings.model_copy(update={"epochs": 1, "lr": settings.lr / 3})
    own, tried, networks = bench.validate(trained), [], {}
    for share in SHARES:
        pruned = prune_channels(trained, share)
        before = bench.validate(pruned)
        networks[share], after = bench.train(f"pruned {share}", again, pruned)
        tried.append({"share": share, "val_pruned": before, "val_accuracy": after})
    good = [row["share"] for row in tried if row["val_accuracy"] >= own - MAY_LOSE]
    chosen = max(good, default=min(SHARES))
    longer, _ = bench.train("one epoch more", again, copy.deepcopy(trained))
    fresh = copy.deepcopy(networks[chosen])
    torch.manual_seed(settings.seed)
    for layer in fresh.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    epochs = settings.epochs + 1
    whole = settings.model_copy(update={"epochs": epochs})
    fresh, _ = bench.train("small from scratch", whole, fresh)
    bench.judge("SimpleCNN", trained, settings.epochs)
    bench.judge("SimpleCNN, one epoch more", longer, epochs, "SimpleCNN")
    bench.judge("SimpleCNN, pruned", networks[chosen], epochs, "SimpleCNN, one epoch more")
    bench.judge("the same size from scratch", fresh, epochs, "SimpleCNN, pruned")
    return {"shares": tried, "share": chosen, "val_unpruned": own}


def distil(bench: Bench, name: str, teacher_name: str) -> dict[str, Any]:
    """The rows of distillation; which temperatures were tried, and the chosen."""
    teacher, of_teacher = finished(teacher_name)
    settings = Run.load(name).settings
    for other in (settings, of_teacher):
        if (other.seed, other.val_fraction) != (bench.settings.seed, bench.settings.val_fraction):
            raise LabError(f"{other.experiment} held other images out; use the same seed for all.")
    trial, tried = settings.model_copy(update={"epochs": TRIAL_EPOCHS}), []
    for degrees in TEMPERATURES:
        named = f"temperature {degrees:g}"
        _, found = bench.train(named, trial, teacher=teacher, temperature=degrees)
        tried.append({"temperature": degrees, "val_accuracy": found})
    chosen = max(tried, key=lambda row: row["val_accuracy"])["temperature"]
    taught, _ = bench.train("distilled", settings, teacher=teacher, temperature=chosen)
    alone, _ = finished(name)
    bench.judge("ResNet-20, the teacher", teacher, of_teacher.epochs)
    bench.judge("CompactNet", alone, settings.epochs)
    bench.judge("CompactNet, distilled", taught, settings.epochs, "CompactNet")
    return {
        "temperatures": tried, "temperature": chosen, "trial_epochs": TRIAL_EPOCHS,
        "teaching": TEACHING,
    }  # fmt: skip


def finished(name: str) -> tuple[nn.Module, Settings]:
    """The network of the run ``name`` at its best epoch, and its settings."""
    run = Run.load(name)
    run.require("04_training")
    return load_best(run.file("checkpoints/best.pt"))[0], run.settings


def main() -> None:
    """Train what is missing, judge and time all, write the JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compress", description=compress.__doc__
    )
    parser.add_argument("--json", type=Path, required=True, help="write the results here")
    options = parser.parse_args()
    bench = Bench(load_settings("quick", data="cifar10"))
    results: dict[str, Any] = {}
    for part in (lambda: prune(bench, "quick"), lambda: distil(bench, "compact", "resnet20")):
        try:
            results |= part()
        except LabError as error:
            say(f"left out: {error}")
    if not bench.rows:
        sys.exit("benchmarks.compress: nothing to show; first: lab sweep quick compact resnet20")
    results["busy_cores"] = bench.time()
    about = {"machine": vars(check.describe()), "git_commit": versions()["git_commit"]}
    about |= {"seed": bench.settings.seed, "test_images": len(bench.test)}
    write_json(options.json, about | results | {"rows": bench.rows})
