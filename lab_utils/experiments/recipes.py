"""Results with one recipe taken together: means over the seeds, with their uncertainty.

A recipe is what ``Settings.recipe`` returns; runs with the same recipe on the same data are
repetitions that differ in their seed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
import json
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
from scipy.stats import sem, t

from lab_utils import LabError
from lab_utils.core.files import write_text
from lab_utils.core.params import load_params
from lab_utils.core.show import Table
from lab_utils.experiments.results import Result, find

_MOST = 12  # recipes that a figure or a table of the report still shows one by one


@dataclass(frozen=True, eq=False)
class Group:
    """One recipe with one or more seeds. Means are over the seeds; accuracies are fractions of 1.

    With several seeds the interval ``low`` to ``high`` is Student's 95% interval of the mean over
    seeds, on these test images; with one it is Wilson's, of the test images alone.
    """

    experiment: str
    # What differs from params.yaml where its namesakes differ from each other: "lr=0.001, epochs=3"
    changed: str
    model: str
    seeds: int  # how many
    accuracy: float  # on the test split
    low: float
    high: float
    val_accuracy: float  # what a choice is made by; the test accuracy is only reported
    loss: float  # on the test split, in nats
    epochs: float  # trained
    seconds: float  # of training
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
    groups = [
        _group([found[seed] for seed in sorted(found)], _changed(recipe, recipes))
        for recipe, found in zip(recipes, by_recipe.values(), strict=True)
    ]
    return sorted(groups, key=lambda g: -g.accuracy)


def _group(results: Sequence[Result], changed: str) -> Group:
    first, accuracies = results[0], [r.test_accuracy for r in results]
    accuracy, low, high = mean(accuracies), first.test_accuracy_low, first.test_accuracy_high
    if len(results) > 1:
        half = float(t.ppf(0.975, len(results) - 1) * sem(accuracies))
        low, high = max(0.0, accuracy - half), min(1.0, accuracy + half)
    return Group(
        experiment=first.run.settings.experiment, changed=changed, model=first.run.settings.model,
        seeds=len(results), accuracy=accuracy, low=low, high=high,
        val_accuracy=mean(r.val_accuracy for r in results),
        loss=mean(r.test_loss for r in results),
        epochs=mean(len(r.history) for r in results),
        seconds=mean(r.train_seconds for r in results),
        parameters=first.parameters, flops=first.flops, results=tuple(results),
    )  # fmt: skip


def _changed(recipe: dict[str, Any], recipes: Sequence[dict[str, Any]]) -> str:
    """What tells ``recipe`` apart from those of the same experiment, as "lr=0.001, epochs=3"."""
    name, params = recipe["experiment"], load_params()
    namesakes = [other for other in recipes if other["experiment"] == name]
    varied = [key for key in recipe if any(other[key] != recipe[key] for other in namesakes)]
    written = params.settings(name).recipe() if name in params.experiments and varied else {}
    changed = [key for key in varied if key not in written or recipe[key] != written[key]]
    return ", ".join(f"{key}={recipe[key]}" for key in changed)


def named(*words: str) -> list[Group]:
    """``group(find(*words))``; LabError also where they used different data or test splits."""
    results = find(*words)
    used = {result.test_split: result.run.name for result in results}
    if len(used) > 1:
        runs = ", ".join(f"{name} used {split}" for split, name in used.items())
        raise LabError(f"Only runs on the same data can be compared: {runs}.")
    return group(results)


def overview(groups: Sequence[Group], own: Group | None = None) -> list[Group]:
    """All groups; of more than twelve, the best of each experiment by validation, and ``own``."""
    if len(groups) <= _MOST:
        return list(groups)
    best = {g.experiment: g for g in sorted(groups, key=lambda g: g.val_accuracy)}
    return [g for g in groups if g is own or g in best.values()]


def table(groups: Iterable[Group]) -> Table:
    """A row for each group, for people, in a terminal or a notebook."""
    rows = [
        {"experiment": g.label, "model": g.model, "seeds": g.seeds, "test accuracy": g.accuracy,
         "95% interval": f"{g.low:.2%} to {g.high:.2%}", "validation": g.val_accuracy,
         "epochs": g.epochs, "seconds": g.seconds, "parameters": g.parameters,
         "MFLOP": g.flops / 1e6}
        for g in groups
    ]  # fmt: skip
    formats = {"epochs": "g", "seconds": ",.0f", "parameters": ",", "MFLOP": ",.1f"}
    return Table(rows, **formats, validation=".2%", **{"test accuracy": ".2%"})


def write_csv(path: Path, groups: Iterable[Group]) -> None:
    """Write ``Group.row`` of each group to ``path``, atomically."""
    write_text(path, pd.DataFrame([g.row for g in groups]).to_csv(index=False, lineterminator="\n"))
