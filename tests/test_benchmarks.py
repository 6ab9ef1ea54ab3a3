"""The benchmarks that train run in a small form: both sides, and rows that say which is which."""

from argparse import Namespace
from contextlib import contextmanager
from itertools import pairwise
import math

import pytest
from real import needs_cifar10
import torch

from benchmarks import (
    changes,
    common,
    epoch,
    input_pipeline,
    precision,
    scaling,
    time_to_accuracy,
)  # fmt: skip
from benchmarks.search import attempts
from lab_utils.data.dataset import Split

pytestmark = needs_cifar10


@contextmanager
def short_course(prepared=False):
    """The course's recipe, two batches of it."""
    with common.course(prepared) as epoch:
        yield lambda: epoch(2)


@pytest.fixture(autouse=True)
def little(monkeypatch):
    """500 training images and 200 test images."""
    dataset, test = common.cifar10(500)
    few = Split(test.images[:200], test.targets[:200])
    for module in (
        changes, epoch, input_pipeline, precision, scaling, time_to_accuracy, attempts
    ):  # fmt: skip
        if hasattr(module, "course"):
            monkeypatch.setattr(module, "course", short_course)
        monkeypatch.setattr(module, "cifar10", lambda *_: (dataset, few))


def test_changes_come_one_at_a_time(monkeypatch):
    rows = changes.measure(Namespace(steps=1, rounds=1))
    assert [row.what.split(",")[0] for row in rows][:2] == [
        "course: DataLoader",
        "+ process settings",
    ]
    assert rows[0].ratio == 1
    assert {row.baseline for row in rows} == {rows[0].ours}
    made = changes.changes()
    for before, after in pairwise(made):
        differ = [name for name in vars(after) if getattr(before, name) != getattr(after, name)]
        assert len(differ) == 2, differ  # its name, and one thing


def test_a_recipe_and_the_course_take_turns_to_their_accuracy():
    asked = {"experiments": ["simple_fast"], "seeds": 2, "first": 7}
    (row,) = time_to_accuracy.measure(Namespace(**asked, alone=0))
    assert row.what.startswith("simple_fast: mean ")
    assert "MISSES 79.84%" in row.what  # of 500 images
    assert row.ratio == row.baseline / row.ours
    assert row.runs == 2
    (alone,) = time_to_accuracy.measure(Namespace(**asked, alone=1))
    assert [(seed["seed"], seed["accuracy"]) for seed in alone.seeds] == [
        (seed["seed"], seed["accuracy"]) for seed in row.seeds
    ]
    assert [seed["seed"] for seed in row.seeds] == [7, 8]
    assert math.isnan(alone.ratio)


def test_the_search_trains_on_what_it_does_not_judge_and_keeps_each_try(monkeypatch, tmp_path):
    whole, _ = attempts.cifar10()
    kept, held = attempts.held_out(whole, 10)
    assert held.targets.bincount().tolist() == [10] * 10
    together = torch.cat([kept.train.images, held.images]).flatten(1)
    assert len(kept.train) == 400
    assert len(together.unique(dim=0)) == len(whole.train.images.flatten(1).unique(dim=0))

    tried = tmp_path / "tried.csv"
    arguments = ["simple_fast", "--set", "epochs=1", "tta=flip", "--seeds", "2", "--csv", tried]
    monkeypatch.setattr(attempts, "held_out", lambda dataset: (kept, held))
    monkeypatch.setattr("sys.argv", ["search", *map(str, arguments)])
    attempts.main()
    names, *rows = [line.split(",") for line in tried.read_text().splitlines()]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    assert [(row["changes"], row["seed"]) for row in found] == [
        ("epochs=1 tta=flip", "0"), ("epochs=1 tta=flip", "1")
    ]  # fmt: skip
    assert all(0 <= float(row[view]) <= 1 for row in found for view in attempts.VIEWS)


def test_an_epoch_is_compared_with_the_course_and_with_the_peak():
    rows = epoch.measure(Namespace(runs=1, steps=1, experiment="simple_fast"))
    assert [row.what.split()[0] for row in rows] == ["SimpleCNN", "SimpleCNN", "simple_fast"]
    assert all(0 < row.ratio < 1.5 for row in rows[1:])  # of the processor's peak


def test_batches_are_counted_on_both_sides():
    rows = input_pipeline.measure(Namespace(runs=1, steps=2))
    assert [row.what[-9:] for row in rows] == ["0 workers", "2 workers"]


def test_precisions_are_compared_seed_by_seed():
    rows = precision.measure(Namespace(experiment="simple_fast", seeds=2, images=500))
    assert len(rows) == 4
    assert "points, 95% [" in rows[2].what


def test_scaling_trains_as_many_images_as_it_says(monkeypatch):
    seen = []
    inner = scaling.Training.epoch
    monkeypatch.setattr(
        scaling.Training, "epoch",
        lambda self: (seen.append(len(self.batches)), inner(self))[1],
    )  # fmt: skip
    found = scaling.one(1500, 100, None)
    assert seen == [scaling.WARM_UP, 15]
    assert found["seconds"] > 0 and found["memory"] > 100
    scaling.one(500, 50, 16)
    assert seen[-1] == 10
