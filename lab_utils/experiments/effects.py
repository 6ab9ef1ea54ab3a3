"""What one setting does: sensitivity to a value, and ablation of a recipe's parts.

A choice is made by validation accuracy; the test accuracy stands beside it and chooses nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.core.show import Table
from lab_utils.experiments.recipes import Group

SHAPE = ("lr", "batch_size", "epochs", "model")  # sensitivity to these; the rest is ablation


@dataclass(frozen=True, eq=False)
class Effect:
    """What the value of a ``setting`` brings: ``base`` differs from ``group`` in it alone."""

    setting: str
    group: Group
    base: Group

    @property
    def value(self) -> Any:
        """What the setting is here."""
        return self.group.recipe[self.setting]

    @property
    def chosen(self) -> bool:
        """Whether this is the base itself."""
        return self.group is self.base

    @property
    def val_difference(self) -> float:
        """Mean validation accuracy less that of the base, as a fraction of 1."""
        return self.group.val_accuracy - self.base.val_accuracy


def sensitivity(groups: Sequence[Group]) -> list[Effect]:
    """What each value that was tried of a setting of ``SHAPE`` brings, all else kept.

    Of each experiment around the recipe that most of these settings were varied from; of several,
    as in a full grid, around the best by validation accuracy. Setting by setting and by rising
    value; the base of each setting is its best value.
    """
    effects = []
    for near in _by_experiment(groups):
        tried = {g: {k: v for k, v in found.items() if k in SHAPE} for g, found in near.items()}
        centre = max(tried, key=lambda g: (len(tried[g]), g.val_accuracy))
        for setting, others in sorted(tried[centre].items()):
            best = max([centre, *others], key=lambda g: g.val_accuracy)
            found = [Effect(setting, g, best) for g in [centre, *others]]
            effects += sorted(found, key=lambda effect: effect.value)
    return effects


def ablation(groups: Sequence[Group]) -> list[Effect]:
    """The parts of a recipe (settings not in ``SHAPE``) changed one at a time, the worst first.

    Of each experiment the base is the full recipe, from which most others differ in one setting
    alone (of several, that of the shortest run name).
    """
    effects = []
    for near in _by_experiment(groups):
        often = {g: sum(map(len, found.values())) for g, found in near.items()}
        full = min(near, key=lambda g: (-often[g], len(g.results[0].run.name)))
        parts = {name: found for name, found in near[full].items() if name not in SHAPE}
        changed = [Effect(name, g, full) for name, found in parts.items() for g in found]
        effects += sorted(changed, key=lambda effect: effect.val_difference)
    return effects


def table(effects: Sequence[Effect]) -> Table:
    """A row for each effect, for people."""
    rows = [
        {"experiment": e.group.experiment, "setting": e.setting, "value": str(e.value),
         "seeds": e.group.seeds, "validation": e.group.val_accuracy,
         "points": 100 * e.val_difference, "test": e.group.accuracy}
        for e in effects
    ]  # fmt: skip
    return Table(rows, validation=".2%", points="+.2f", test=".2%")


def _by_experiment(groups: Sequence[Group]) -> list[dict[Group, dict[str, list[Group]]]]:
    """For each experiment: what differs from each of its groups in one setting, by that setting."""
    names = dict.fromkeys(g.experiment for g in groups)
    members = ([g for g in groups if g.experiment == name] for name in names)
    return [{g: _neighbours(g, found) for g in found} for found in members]


def _neighbours(base: Group, members: Sequence[Group]) -> dict[str, list[Group]]:
    near: dict[str, list[Group]] = defaultdict(list)
    for other in members:
        differs = [key for key, value in base.recipe.items() if other.recipe[key] != value]
        if len(differs) == 1 and differs != ["fold"]:  # which part is held out is no choice
            near[differs[0]].append(other)
    return near
