"""What the report's comparison says and shows: values for Typst, and figures.

The tables hold every recipe; the figures at most twelve, so that they can be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils import LabError
from lab_utils.comparison.effects import Effect, ablation, sensitivity
from lab_utils.comparison.gather import around
from lab_utils.comparison.groups import Group, group, rows
from lab_utils.comparison.results import results_dir
from lab_utils.comparison.sentences import sentence
from lab_utils.comparison.significance import Pair, compare
from lab_utils.run import Run

COURSE = ("exp1_baseline", "exp2_low_lr", "exp3_big_batch")
SHAPE = ("lr", "batch_size", "model")  # what sensitivity is asked for; the rest is ablation
_FIGURE_ROWS = 12


@dataclass(frozen=True, eq=False)
class Drawing:
    """A Matplotlib figure with what the report writes below it and a screen reader says."""

    figure: Any
    caption: str
    alt: str


def section(run: Run) -> tuple[dict[str, Any], dict[str, Drawing]]:
    """What the comparison of ``run`` with the runs around it says, and its figures by name.

    The values are plain, for JSON. Raises LabError where ``run`` has not been tested.
    """
    results, apart = around(run)
    groups = group(results)
    own = next(g for g in groups if any(r.folder == run.path for r in g.results))
    shape = [_plain(effect) for effect in sensitivity(groups) if effect.setting in SHAPE]
    parts = [_plain(effect) for effect in ablation(groups) if effect.setting not in SHAPE]
    values = {
        "rows": [
            row | {"label": g.label, "this": g is own}
            for row, g in zip(rows(groups), groups, strict=True)
        ],
        "runs": sum(len(g.results) for g in groups),
        "committed": sum(r.folder.is_relative_to(results_dir()) for g in groups for r in g.results),
        "apart": apart,
        "course": {name: g for name in COURSE if (g := _row_of(name, groups))},
        "sensitivity": shape,
        "ablation": parts,
        "problem": "",
    }  # fmt: skip
    try:
        values |= _tested(groups, own)
    except LabError as error:  # without statsmodels all but the tests is there
        values |= {"pairs": [], "sentences": [], "course_sentences": [], "problem": str(error)}
    return values, drawings(groups, own) if len(groups) > 1 else {}


def drawings(groups: Sequence[Group], own: Group | None = None) -> dict[str, Drawing]:
    """The figures of ``groups``, by name; those that have nothing to show are not among them."""
    from lab_utils.figures import comparison as figures

    shown = _shown(groups, own)
    names = {id(g): g.label + (" (this run)" if g is own else "") for g in shown}
    some = "" if len(shown) == len(groups) else f" of {len(shown)} of the {len(groups)} recipes"
    histories = {
        names[id(g)]: [[row["val_accuracy"] for row in r.history] for r in g.results] for g in shown
    }
    found = {
        "compared_curves": Drawing(
            figures.curves(histories),
            f"Validation accuracy by epoch{some}: the mean over the seeds, and a band from the "
            "lowest to the highest of them.",
            f"{len(shown)} curves of validation accuracy that end between "
            f"{min(g.val_accuracy for g in shown):.1%} and {max(g.val_accuracy for g in shown):.1%}"
            f", the highest that of {max(shown, key=lambda g: g.val_accuracy).label}.",
        )
    }
    labelled = [
        row | {"label": names[id(g)]} for row, g in zip(rows(shown), shown, strict=True)
    ]  # fmt: skip
    front = figures.pareto_front([g.seconds for g in shown], [g.accuracy for g in shown])
    best = ", ".join(shown[i].label for i in front)
    found["compared_pareto"] = Drawing(
        figures.pareto(labelled),
        f"Test accuracy{some} with its 95% interval against training time, parameters and the "
        "operations of one image. The line joins what nothing cheaper beats; by training time: "
        f"{best}.",
        f"Three scatter plots of {len(shown)} recipes; the front of accuracy against training time "
        f"is made of {best}.",
    )
    varied = [effect for effect in sensitivity(groups) if effect.setting in SHAPE]
    if varied:
        found["compared_sensitivity"] = Drawing(
            figures.sensitivity([_plain(effect) for effect in varied]),
            "Validation accuracy where one setting alone was varied: the mean, a dash for each "
            "seed, and the chosen value filled.",
            "Lines of mean validation accuracy over the values of "
            f"{', '.join(dict.fromkeys(effect.setting for effect in varied))}.",
        )
    return found


def course_pairs(groups: Sequence[Group]) -> list[Pair]:
    """The course's three experiments against each other, planned beforehand: their own family."""
    members = [g for name in COURSE if (g := _of(name, groups))]
    return compare(members)


def _tested(groups: Sequence[Group], own: Group) -> dict[str, Any]:
    pairs = compare(groups)
    best = max(groups, key=lambda g: g.accuracy)
    told = [pair for pair in pairs if pair.a is best or own in (pair.a, pair.b)]
    second = [pair for pair in pairs if pair.a is best][:1]
    return {
        "pairs": [_pair(pair) for pair in told],
        "tested": len(pairs),
        "alike": sum(not pair.distinguishable for pair in pairs),
        "sentences": [sentence(pair) for pair in second]
        + [sentence(p) for p in pairs if p.a is best and p.b is own and p not in second],
        "course_sentences": [sentence(pair) for pair in course_pairs(groups)],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a.label,
        "b": pair.b.label,
        "seeds": len(pair.seeds),
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.p_adjusted,
        "models": len(pair.mcnemar),
        "models_differ": sum(test.differ for test in pair.mcnemar),
        "distinguishable": pair.distinguishable,
    }


def _plain(effect: Effect) -> dict[str, Any]:
    value = effect.value
    return {
        "experiment": effect.group.experiment,
        "setting": effect.setting,
        "value": value if isinstance(value, int | float | str) else str(value),
        "base": str(effect.base.recipe[effect.setting]),
        "chosen": effect.chosen,
        "seeds": len(effect.group.results),
        "val_accuracies": [r.val_accuracy for r in effect.group.results],
        "val_accuracy": effect.group.val_accuracy,
        "val_difference": effect.val_difference,
        "accuracy": effect.group.accuracy,
    }


def _of(experiment: str, groups: Sequence[Group]) -> Group | None:
    """The recipe of ``experiment`` with the most seeds: the one that was not played with."""
    mine = [g for g in groups if g.experiment == experiment]
    return max(mine, key=lambda g: len(g.results), default=None)


def _row_of(experiment: str, groups: Sequence[Group]) -> dict[str, Any] | None:
    found = _of(experiment, groups)
    return rows([found])[0] if found else None


def _shown(groups: Sequence[Group], own: Group | None) -> list[Group]:
    """All, or where they are too many ``own`` and the best of each experiment by validation."""
    if len(groups) <= _FIGURE_ROWS:
        return list(groups)
    best = {}
    for g in sorted(groups, key=lambda g: g.val_accuracy):
        best[g.experiment] = g
    chosen = [g for g in groups if g is own or g in best.values()][:_FIGURE_ROWS]
    return chosen if own is None or own in chosen else [*chosen[:-1], own]
