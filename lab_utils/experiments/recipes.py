"""Results taken together by recipe: means over the seeds, with their uncertainty."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
import csv
from dataclasses import dataclass
import io
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.params import as_written, load_params
from lab_utils.core.show import Table
from lab_utils.experiments.results import Result, find


@dataclass(frozen=True, eq=False)
class Group:
    """One recipe with one or more seeds. Means are over the seeds; accuracies are fractions of 1.

    With several seeds the interval ``low`` to ``high`` is Student's 95% interval of the mean, and
    includes the luck of the initialisation; with one it is Wilson's, of the test images alone.
    """

    experiment: str
    # What differs from params.yaml where its namesakes differ from each other: "lr=0.001, epochs=3"
    changed: str
    results: tuple[Result, ...]  # by seed, one each
    accuracy: float  # on the test split
    low: float
    high: float
    loss: float
    val_accuracy: float  # what a choice is made by; the test accuracy is only reported
    seconds: float  # of training
    epochs: float

    @property
    def label(self) -> str:
        """The experiment, and what was changed: unique among the groups made together."""
        return f"{self.experiment} ({self.changed})" if self.changed else self.experiment

    @property
    def model(self) -> str:
        """The network's name."""
        return self.results[0].model

    @property
    def parameters(self) -> int:
        """Of the network."""
        return self.results[0].parameters

    @property
    def flops(self) -> int | None:
        """Of one image's forward pass; None where it could not be counted."""
        return self.results[0].flops

    @property
    def seeds(self) -> tuple[int, ...]:
        """In rising order."""
        return tuple(result.seed for result in self.results)

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings, without the seed and what only names things."""
        return _recipe(self.results[0])


def group(results: Iterable[Result]) -> list[Group]:
    """``results`` by recipe, the highest mean test accuracy first.

    Of several runs with the same recipe, data and seed the first counts.
    """
    seeds: dict[str, dict[int, Result]] = defaultdict(dict)
    for result in results:
        key = json.dumps([result.fingerprint, _recipe(result)])
        seeds[key].setdefault(result.seed, result)
    recipes = {key: _recipe(next(iter(found.values()))) for key, found in seeds.items()}
    groups = []
    for key, found in seeds.items():
        mine = recipes[key]
        namesakes = [r for r in recipes.values() if r["experiment"] == mine["experiment"]]
        varied = [name for name in mine if any(r[name] != mine[name] for r in namesakes)]
        written = _written(mine["experiment"]) if varied else {}
        changed = [name for name in varied if name not in written or mine[name] != written[name]]
        members = tuple(found[seed] for seed in sorted(found))
        low, high = _interval(members)
        groups.append(
            Group(
                experiment=mine["experiment"],
                changed=", ".join(f"{name}={mine[name]}" for name in changed),
                results=members,
                accuracy=mean(r.test_accuracy for r in members),
                low=low,
                high=high,
                loss=mean(r.test_loss for r in members),
                val_accuracy=mean(r.val_accuracy for r in members),
                seconds=mean(r.train_seconds for r in members),
                epochs=mean(r.epochs for r in members),
            )
        )
    return sorted(groups, key=lambda g: -g.accuracy)


def _written(experiment: str) -> dict[str, Any]:
    """The settings of ``experiment`` in params.yaml; nothing where it is no longer there."""
    known = experiment in load_params()["experiments"]
    return as_written(experiment).model_dump(mode="json") if known else {}


def check_same_data(results: Sequence[Result]) -> None:
    """LabError where two of ``results`` used different data or test splits of different size."""
    for other in results[1:]:
        first = results[0]
        if other.fingerprint != first.fingerprint:
            used = f"{first.name} used {first.data}, {other.name} used {other.data}"
            also = " with other images" if first.data == other.data else ""
            raise LabError(
                f"Only runs on the same data can be compared: {used}{also}; name such runs alone."
            )
        if other.test_images != first.test_images:
            raise LabError(
                f"Only runs on the same test images can be compared: {first.name} has "
                f"{first.test_images:,} and {other.name} has {other.test_images:,}."
            )


def rows(groups: Iterable[Group]) -> list[dict[str, Any]]:
    """A flat row per group, for a table, a CSV file or the report."""
    return [
        {
            "experiment": g.experiment,
            "changed": g.changed,
            "model": g.model,
            "seeds": len(g.results),
            "accuracy": g.accuracy,
            "low": g.low,
            "high": g.high,
            "val_accuracy": g.val_accuracy,
            "loss": g.loss,
            "epochs": g.epochs,
            "seconds": g.seconds,
            "parameters": g.parameters,
            "flops": g.flops,
        }
        for g in groups
    ]


def table(groups: Iterable[Group]) -> Table:
    """``rows`` for people, in a terminal or a notebook."""
    return Table(
        [
            {
                "experiment": g.label,
                "model": g.model,
                "seeds": len(g.results),
                "test accuracy": g.accuracy,
                "95% interval": f"{g.low:.2%} to {g.high:.2%}",
                "validation": g.val_accuracy,
                "epochs": g.epochs,
                "seconds": g.seconds,
                "parameters": g.parameters,
                "MFLOP": None if g.flops is None else g.flops / 1e6,
            }
            for g in groups
        ],
        **{"test accuracy": ".2%", "validation": ".2%", "epochs": "g", "seconds": ",.0f"},
        **{"parameters": ",", "MFLOP": ",.1f"},
    )


def write_csv(path: Path, groups: Iterable[Group]) -> None:
    """Write ``rows`` to ``path``, atomically."""
    text = io.StringIO(newline="")
    found = rows(groups)
    writer = csv.DictWriter(text, fieldnames=list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    write_atomic(path, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))


def named(*words: str) -> list[Group]:
    """``group(find(*words))``, on the same data; LabError where they are not."""
    results = find(*words)
    check_same_data(results)
    return group(results)


def _recipe(result: Result) -> dict[str, Any]:
    recipe = result.settings.model_dump(mode="json", exclude={"seed", "title", "data_folder"})
    return recipe | {"data": result.data}  # `auto` is the same recipe as what it became


def _interval(results: Sequence[Result]) -> tuple[float, float]:
    if len(results) == 1:
        return results[0].low, results[0].high
    accuracies = [r.test_accuracy for r in results]
    half = float(t.ppf(0.975, len(results) - 1)) * stdev(accuracies) / len(results) ** 0.5
    return max(0.0, mean(accuracies) - half), min(1.0, mean(accuracies) + half)
