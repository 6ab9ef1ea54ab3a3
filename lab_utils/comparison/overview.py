"""What of many recipes is shown and drawn: the part that the report and notebook 07 share.

With more than twelve recipes, tables and figures hold the best of each experiment, so that they can
be read; the variants of a grid are in what ``varied`` and ``ablation`` give.
"""

from collections.abc import Sequence
from typing import Any

from lab_utils.comparison.effects import Effect, around
from lab_utils.comparison.groups import Group

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
