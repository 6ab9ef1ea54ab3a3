"""Results with one recipe taken together: means over the seeds, with their uncertainty.

A recipe is what ``Settings.recipe`` returns; runs with the same recipe on the same data are
repetitions that differ in their seed. Seconds are not compared: the runs were made on machines that
had other work to do, with other numbers of threads.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from lab_utils import LabError
from lab_utils.core.files import write_text
from lab_utils.core.params import load_params
from lab_utils.core.show import Table
from lab_utils.experiments.intervals import interval, right
from lab_utils.experiments.results import Result, find

_MOST = 15  # recipes that a table of the report still shows one by one


@dataclass(frozen=True, eq=False)
class Group:
    """One recipe with one or more seeds. Means are over the seeds; accuracies are fractions of 1.

    With several seeds the 95% interval ``low`` to ``high`` has the luck of the seeds and of the
    test images (``interval``); with one it is Wilson's, of the test images alone.
    """

    experiment: str
    changed: str  # what differs from params.yaml: "lr=0.001, epochs=3"
    model: str
    seeds: int  # how many
    accuracy: float  # on the test split
    low: float
    high: float
    val_accuracy: float  # what a choice is made by; the test accuracy is only reported
    loss: float  # on the test split, in nats
    epochs: float  # trained
    parameters: int
    flops: int  # of one image's forward pass
    results: tuple[Result, ...]  # by rising seed, one each

    @property
    def label(self) -> str:
        """The experiment, and what was changed: unique among the groups made together."""
        return f"{self.experiment} ({self.changed})" if self.changed else self.experiment

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The settings, without the seed and what only names things."""
        return self.results[0].run.settings.recipe()

    @cached_property
    def right(self) -> np.ndarray | None:
        """Which model gets which test image right, (seeds, images) bool.

        None where the models were tested on different images.
        """
        return right(self.results)

    @cached_property
    def targets(self) -> np.ndarray | None:
        """The true classes (images,), where ``right`` is known."""
        return None if self.right is None else self.results[0].targets

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """Of each model (seeds, images, classes) float64; None where one has not kept them."""
        if self.right is None or any(r.probabilities is None for r in self.results):
            return None
        return np.array([r.probabilities for r in self.results], np.float64)

    @property
    def accuracies(self) -> np.ndarray:
        """On the test split, (seeds,)."""
        return np.array([r.test_accuracy for r in self.results])

    @property
    def row(self) -> dict[str, Any]:
        """All its plain values, for a table, a CSV file or the report."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "results"}


def group(results: Iterable[Result]) -> list[Group]:
    """``results`` by recipe, the highest mean test accuracy first.

    Of several runs with the same recipe, data and seed the first counts.
    """
    by_recipe: dict[str, dict[int, Result]] = defaultdict(dict)
    for result in results:
        settings = result.run.settings
        key = json.dumps([result.fingerprint, settings.recipe()])
        by_recipe[key].setdefault(settings.seed, result)
    recipes = [json.loads(key)[1] for key in by_recipe]
    groups = []
    for recipe, found in zip(recipes, by_recipe.values(), strict=True):
        namesakes = [other for other in recipes if other["experiment"] == recipe["experiment"]]
        groups.append(_group([found[seed] for seed in sorted(found)], _changed(recipe, namesakes)))
    return sorted(groups, key=lambda g: -g.accuracy)


def _group(results: Sequence[Result], changed: str) -> Group:
    first = results[0]
    low, high = interval(results)
    return Group(
        experiment=first.run.settings.experiment, changed=changed, model=first.run.settings.model,
        seeds=len(results), accuracy=mean(r.test_accuracy for r in results), low=low, high=high,
        val_accuracy=mean(r.val_accuracy for r in results),
        loss=mean(r.test_loss for r in results),
        epochs=mean(len(r.history) for r in results),
        parameters=first.parameters, flops=first.flops, results=tuple(results),
    )  # fmt: skip


def _changed(recipe: dict[str, Any], namesakes: Sequence[dict[str, Any]]) -> str:
    """What tells ``recipe`` from its experiment in params.yaml, as "lr=0.001, epochs=3".

    Where that is not there, what tells it from ``namesakes``, the others of that experiment.
    """
    params, name = load_params(), recipe["experiment"]
    others = [params.settings(name).recipe()] if name in params.experiments else namesakes
    changed = [key for key in recipe if any(other[key] != recipe[key] for other in others)]
    return ", ".join(f"{key}={recipe[key]}" for key in changed)


def named(*words: str, damaged: dict[str, str] | None = None) -> list[Group]:
    """``group(find(...))``; LabError also where they used different data or test splits."""
    results = find(*words, damaged=damaged)
    used = {result.test_split: result.run.name for result in results}
    if len(used) > 1:
        runs = ", ".join(f"{name} used {split}" for split, name in used.items())
        raise LabError(f"Only runs on the same data can be compared: {runs}.")
    return group(results)


def overview(groups: Sequence[Group], own: Group | None = None, most: int = _MOST) -> list[Group]:
    """All recipes; of more than ``most``, the best of each experiment by validation, and ``own``.

    A part of a cross-validation (``folds.cross_validations``) is no recipe of its own.
    """
    whole = [g for g in groups if g is own or not g.recipe["folds"]] or list(groups)
    if len(whole) <= most:
        return whole
    best = {g.experiment: g for g in sorted(whole, key=lambda g: g.val_accuracy)}
    return [g for g in whole if g is own or g in best.values()]


def table(groups: Iterable[Group]) -> Table:
    """A row for each group, for people, in a terminal or a notebook."""
    rows = [
        {"experiment": g.label, "model": g.model, "seeds": g.seeds, "test accuracy": g.accuracy,
         "95% interval": f"{g.low:.2%} to {g.high:.2%}", "validation": g.val_accuracy,
         "epochs": g.epochs, "parameters": g.parameters, "MFLOP": g.flops / 1e6}
        for g in groups
    ]  # fmt: skip
    formats = {"epochs": "g", "parameters": ",", "MFLOP": ",.1f"}
    return Table(rows, **formats, validation=".2%", **{"test accuracy": ".2%"})


def write_csv(path: Path, groups: Iterable[Group]) -> None:
    """Write ``Group.row`` of each group to ``path``, atomically."""
    write_text(path, pd.DataFrame([g.row for g in groups]).to_csv(index=False, lineterminator="\n"))
