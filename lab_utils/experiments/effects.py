"""What one setting does: sensitivity in a grid of runs, ablation of a recipe's parts.

A choice is made by validation accuracy; the test accuracy stands beside it and chooses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.experiments.recipes import Group


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


SHAPE = ("lr", "batch_size", "epochs", "model")  # sensitivity to these; the rest is ablation


_MOST = 12


def heads(groups: Sequence[Group], own: Group | None = None) -> list[Group]:
    """All groups; of more than twelve, the best of each experiment by validation, and ``own``."""
    if len(groups) <= _MOST:
        return list(groups)
    best = {g.experiment: g for g in sorted(groups, key=lambda g: g.val_accuracy)}
    return [g for g in groups if g is own or g in best.values()]


def varied(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Sensitivity to the settings of ``SHAPE``: a row for each value tried, all else kept.

    Of each experiment around the recipe that most of these settings were varied from; of several,
    as in a full grid, around the best by validation accuracy. ``chosen`` is the best value.
    """
    found = []
    for name in dict.fromkeys(g.experiment for g in groups):
        members = [g for g in groups if g.experiment == name]
        near = {g: [e for e in around(g, members) if e.setting in SHAPE] for g in members}
        base = max(members, key=lambda g: (len({e.setting for e in near[g]}), g.val_accuracy))
        for setting in dict.fromkeys(effect.setting for effect in near[base]):
            lines = [plain(effect) for effect in near[base] if effect.setting == setting]
            best = max(lines, key=lambda line: line["val_accuracy"])
            found += [
                line
                | {"chosen": line is best}
                | {"val_difference": line["val_accuracy"] - best["val_accuracy"]}
                for line in lines
            ]
    return found


def plain(effect: Effect) -> dict[str, Any]:
    """``effect`` as values for JSON: a setting that is no number or text becomes text."""
    value, base = (
        value if isinstance(value, int | float | str) else str(value)
        for value in (effect.value, effect.base.recipe[effect.setting])
    )
    return {
        "experiment": effect.group.experiment,
        "setting": effect.setting,
        "value": value,
        "base": base,
        "seeds": len(effect.group.results),
        "val_accuracies": [r.val_accuracy for r in effect.group.results],
        "val_accuracy": effect.group.val_accuracy,
        "val_difference": effect.val_difference,
        "accuracy": effect.group.accuracy,
    }
