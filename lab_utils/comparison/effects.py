"""What one setting does: sensitivity in a grid of runs, ablation of a recipe's parts.

A choice is made by validation accuracy; the test accuracy stands beside it and chooses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.comparison.groups import Group


@dataclass(frozen=True, eq=False)
class Effect:
    """A recipe with one setting other than in the recipe it is compared with (``base``)."""

    setting: str
    value: Any
    group: Group
    base: Group

    @property
    def chosen(self) -> bool:
        """Whether this is the base itself."""
        return self.group is self.base

    @property
    def val_difference(self) -> float:
        """Mean validation accuracy less that of the base, as a fraction of 1."""
        return self.group.val_accuracy - self.base.val_accuracy

    @property
    def difference(self) -> float:
        """Mean test accuracy less that of the base, as a fraction of 1."""
        return self.group.accuracy - self.base.accuracy


def sensitivity(groups: Sequence[Group]) -> list[Effect]:
    """What each setting of a grid does, around the recipe with the best validation accuracy.

    Of each experiment: for each setting in which two recipes differ, the recipes that differ from
    the best in nothing else, with the best itself, by rising value. Works for ``lr``,
    ``batch_size``, ``model`` and any other setting that a sweep varied.
    """
    effects = []
    for members in _by_experiment(groups):
        best = max(members, key=lambda g: g.val_accuracy)
        effects += around(best, members)
    return effects


def ablation(groups: Sequence[Group]) -> list[Effect]:
    """The parts of a recipe taken out one at a time, the most harmful loss first.

    Of each experiment the full recipe is the one that most others differ from in one setting alone
    (of several, that of the shortest run name). It is not among the effects itself.
    """
    effects = []
    for members in _by_experiment(groups):
        full = min(members, key=lambda g: (-_neighbours(g, members), len(g.results[0].name)))
        parts = [effect for effect in around(full, members) if not effect.chosen]
        effects += sorted(parts, key=lambda effect: effect.val_difference)
    return effects


def _by_experiment(groups: Sequence[Group]) -> list[list[Group]]:
    names = dict.fromkeys(g.experiment for g in groups)
    return [[g for g in groups if g.experiment == name] for name in names]


def _neighbours(base: Group, members: Sequence[Group]) -> int:
    return sum(not effect.chosen for effect in around(base, members))


def around(base: Group, members: Sequence[Group]) -> list[Effect]:
    """``base`` and its neighbours, those that differ in one setting, setting by setting."""
    near: dict[str, list[Group]] = {}
    for other in members:
        differs = [key for key, value in base.recipe.items() if other.recipe[key] != value]
        if len(differs) == 1 and differs != ["fold"]:  # which part is held out is no choice
            near.setdefault(differs[0], [base]).append(other)
    effects = []
    for setting, found in sorted(near.items()):
        rows = [Effect(setting, g.recipe[setting], g, base) for g in found]
        effects += sorted(rows, key=lambda effect: _order(effect.value))
    return effects


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, then all else by its text: None may stand beside numbers."""
    number = isinstance(value, int | float)
    return not number, value if number else 0.0, str(value)
