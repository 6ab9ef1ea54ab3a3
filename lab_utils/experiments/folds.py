"""Cross-validation: one recipe trained k times, each time with another part of the images held out.

Only the spread is told and no interval: the folds' training images overlap, so their results are
not independent, and no estimate of the mean's variance is unbiased (Bengio and Grandvalet, JMLR 5,
2004).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

import numpy as np

from lab_utils.core.show import Table
from lab_utils.experiments.recipes import Group
from lab_utils.experiments.results import Result

_OF_FOLDS = ("folds", "fold", "val_fraction")


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The ``results`` of ``k`` folds, or those that are there, two at the least, of one seed.

    ``whole`` is the same recipe without folds, where there is one: each seed holds a part out.
    """

    label: str
    k: int
    results: tuple[Result, ...]  # by rising fold
    whole: Group | None

    @property
    def accuracies(self) -> np.ndarray:
        """Of each fold's model on the part that was held out, (folds,)."""
        return np.array([result.val_accuracy for result in self.results])

    def __str__(self) -> str:
        found = self.accuracies
        return (
            f"{self.label}, {len(found)} of {self.k} folds: validation accuracy {found.mean():.2%} "
            f"in the mean, with a standard deviation of {100 * found.std(ddof=1):.2f} points from "
            "fold to fold."
        )


def cross_validations(groups: Sequence[Group]) -> list[CrossValidation]:
    """The cross-validations among ``groups``, of which each fold is one."""
    found = defaultdict(list)
    for g in groups:
        if k := g.recipe["folds"]:
            rest = ", ".join(part for part in g.changed.split(", ") if not part.startswith("fold="))
            for result in g.results:
                seed = result.run.settings.seed
                found[replace(g, changed=rest).label, k, seed].append(result)
    return [
        CrossValidation(label, k, tuple(sorted(results, key=_fold)), _whole(results[0], groups))
        for (label, k, _), results in found.items()
        if len(results) > 1
    ]


def table(found: CrossValidation) -> Table:
    """Mean and standard deviation over the folds and, where there are several, over the seeds."""
    repeated = {f"{len(found.results)} folds": found.results}
    if found.whole and found.whole.seeds > 1:
        repeated[f"{found.whole.seeds} seeds"] = found.whole.results
    rows = [
        {"over": name} | {
            f"{split}, {what}": 100 * take([getattr(r, f"{key}_accuracy") for r in results])
            for split, key in (("validation", "val"), ("test", "test"))
            for what, take in (("mean", mean), ("standard deviation", stdev))
        }
        for name, results in repeated.items()
    ]  # fmt: skip
    return Table(rows, **dict.fromkeys(list(rows[0])[1:], ".2f"))


def _fold(result: Result) -> int:
    return result.run.settings.fold


def _whole(of: Result, groups: Sequence[Group]) -> Group | None:
    def rest(settings: dict) -> dict:
        return {key: value for key, value in settings.items() if key not in _OF_FOLDS}

    own = rest(of.run.settings.recipe())
    alike = (g for g in groups if not g.recipe["folds"] and rest(g.recipe) == own)
    return next(alike, None)
