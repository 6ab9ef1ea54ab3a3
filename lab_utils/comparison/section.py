"""What the report's comparison says and shows: values for Typst, and figures.

With more than twelve recipes, tables and figures hold the best of each experiment, so that they can
be read; the variants of a grid are in the tables of sensitivity and ablation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from lab_utils import LabError
from lab_utils.comparison.effects import Effect, _around, ablation
from lab_utils.comparison.gather import around
from lab_utils.comparison.groups import Group, check_same_data, group, rows
from lab_utils.comparison.results import results_dir
from lab_utils.comparison.sentences import sentence
from lab_utils.comparison.significance import Pair, _holm, _pair, compare
from lab_utils.run import Run

COURSE = ("exp1_baseline", "exp2_low_lr", "exp3_big_batch")
SHAPE = ("lr", "batch_size", "epochs", "model")  # sensitivity to these; the rest is ablation
_MOST = 12


@dataclass(frozen=True, eq=False)
class Drawing:
    """A Matplotlib figure with what the report writes below it and a screen reader says."""

    figure: Any
    caption: str
    alt: str

    @property
    def text(self) -> dict[str, str]:
        """Caption and alternative text, as in ``figures.json``."""
        return {"caption": self.caption, "alt": self.alt}


def section(run: Run) -> tuple[dict[str, Any], dict[str, Drawing]]:
    """What the comparison of ``run`` with the runs around it says, and its figures by name.

    The values are plain, for JSON. Raises LabError where ``run`` has not been tested.
    """
    results, apart = around(run)
    groups = group(results)
    own = next(g for g in groups if any(r.folder == run.path for r in g.results))
    shown = heads(groups, own)
    parts = [_plain(effect) for effect in ablation(groups) if effect.setting not in SHAPE]
    course = {name: found for name in COURSE if (found := _of(name, groups))}
    values = {
        "rows": [
            row | {"label": g.label, "this": g is own}
            for row, g in zip(rows(shown), shown, strict=True)
        ],
        "recipes": len(groups),
        "runs": sum(len(g.results) for g in groups),
        "committed": sum(r.folder.is_relative_to(results_dir()) for g in groups for r in g.results),
        "apart": apart,
        "course": {name: rows([g])[0] for name, g in course.items()},
        "confounded": _confounded(list(course.values())),
        "sensitivity": varied(groups),
        "ablation": parts,
    }
    try:
        values |= {"problem": "", **_tested(shown, own)}
        values["course_sentences"] = [sentence(p) for p in compare(list(course.values()))]
    except LabError as error:  # without statsmodels all but the tests is there
        values |= {"problem": str(error), "pairs": [], "sentences": [], "course_sentences": []}
    return values, drawings(groups, own) if len(groups) > 1 else {}


def heads(groups: Sequence[Group], own: Group | None = None) -> list[Group]:
    """All groups; of more than twelve, the best of each experiment by validation, and ``own``."""
    if len(groups) <= _MOST:
        return list(groups)
    best = {g.experiment: g for g in sorted(groups, key=lambda g: g.val_accuracy)}
    return [g for g in groups if g is own or g in best.values()]


def against(reference: Group, groups: Sequence[Group]) -> list[Pair]:
    """Each of the other ``groups`` tested against ``reference``, highest accuracy first.

    p-values are corrected for these pairs alone: all pairs of ten recipes are 45, and with three
    seeds hardly any difference survives so many questions.
    Raises LabError where the groups used different data, or statsmodels is missing.
    """
    check_same_data([result for g in groups for result in g.results])
    ordered = sorted((g for g in groups if g is not reference), key=lambda g: -g.accuracy)
    pairs = [_pair(*sorted((reference, g), key=lambda g: -g.accuracy)) for g in ordered]
    pairs = _holm(pairs, lambda pair: pair.p_value)
    tests = iter(_holm([t for p in pairs for t in p.mcnemar], lambda test: test.p_value))
    return [replace(p, mcnemar=tuple(next(tests) for _ in p.mcnemar)) for p in pairs]


def drawings(groups: Sequence[Group], own: Group | None = None) -> dict[str, Drawing]:
    """The figures of ``groups``, by name; those that have nothing to show are not among them."""
    from lab_utils.figures import comparison as figures

    shown = heads(groups, own)
    often = Counter(g.experiment for g in shown)
    labels = [g.experiment if often[g.experiment] == 1 else g.label for g in shown]
    labels = [s + " (this run)" * (g is own) for s, g in zip(labels, shown, strict=True)]
    some = "" if len(shown) == len(groups) else f" of {len(shown)} of the {len(groups)} recipes"
    accuracies = [[[row["val_accuracy"] for row in r.history] for r in g.results] for g in shown]
    ends = sorted(shown, key=lambda g: g.val_accuracy)
    found = {
        "compared_curves": Drawing(
            figures.curves(dict(zip(labels, accuracies, strict=True))),
            f"Validation accuracy by epoch{some}: the mean over the seeds, and a band from the "
            "lowest to the highest of them.",
            f"{len(shown)} rising curves; the chosen epochs reach from "
            f"{ends[0].val_accuracy:.1%} ({ends[0].label}) to {ends[-1].val_accuracy:.1%} "
            f"({ends[-1].label}).",
        )
    }
    labelled = [row | {"label": name} for row, name in zip(rows(shown), labels, strict=True)]
    front = figures.pareto_front([g.seconds for g in shown], [g.accuracy for g in shown])
    best = ", ".join(shown[i].label for i in front)
    found["compared_pareto"] = Drawing(
        figures.pareto(labelled),
        f"Test accuracy{some} with its 95% interval against training time, parameters and the "
        "operations of one image. The line joins the recipes that no cheaper one equals; by "
        f"training time: {best}.",
        f"Three scatter plots of {len(shown)} recipes, accuracy against cost on a logarithmic "
        f"scale; against training time the front is made of {best}.",
    )
    if lines := varied(groups):
        names = ", ".join(dict.fromkeys(row["setting"] for row in lines))
        low, high = (f(lines, key=lambda row: row["val_accuracy"]) for f in (min, max))
        found["compared_sensitivity"] = Drawing(
            figures.sensitivity(lines),
            "Validation accuracy where one setting alone was varied: the mean, a dash for each "
            "seed, and the best value filled.",
            f"Mean validation accuracy by {names}, from {low['val_accuracy']:.1%} with "
            f"{low['setting']}={low['value']} to {high['val_accuracy']:.1%} with "
            f"{high['setting']}={high['value']}.",
        )
    return found


def varied(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Sensitivity to the settings of ``SHAPE``: a row for each value tried, all else kept.

    Of each experiment around the recipe that most of these settings were varied from; of several,
    as in a full grid, around the best by validation accuracy. ``chosen`` is the best value.
    """
    found = []
    for name in dict.fromkeys(g.experiment for g in groups):
        members = [g for g in groups if g.experiment == name]
        near = {g: [e for e in _around(g, members) if e.setting in SHAPE] for g in members}
        base = max(members, key=lambda g: (len({e.setting for e in near[g]}), g.val_accuracy))
        for setting in dict.fromkeys(effect.setting for effect in near[base]):
            lines = [_plain(effect) for effect in near[base] if effect.setting == setting]
            best = max(lines, key=lambda line: line["val_accuracy"])
            found += [
                line
                | {"chosen": line is best}
                | {"val_difference": line["val_accuracy"] - best["val_accuracy"]}
                for line in lines
            ]
    return found


def _tested(shown: Sequence[Group], own: Group) -> dict[str, Any]:
    """The tests against the recipe with the best validation accuracy, as a table and in words."""
    reference = max(shown, key=lambda g: g.val_accuracy)
    pairs = against(reference, shown)
    told = [p for p in pairs if own in (p.a, p.b)] if own is not reference else []
    return {
        "reference": reference.label,
        "pairs": [_row(p, reference) for p in pairs],
        "sentences": [sentence(p) for p in dict.fromkeys([*pairs[:1], *told])],
    }


def _row(pair: Pair, reference: Group) -> dict[str, Any]:
    """``pair`` as the difference of the other recipe from ``reference``."""
    sign, other = (1, pair.a) if pair.b is reference else (-1, pair.b)
    ends = [] if pair.low is None else sorted((sign * pair.low, sign * pair.high))
    return {
        "label": other.label,
        "experiment": other.experiment,
        "changed": other.changed,
        "seeds": len(pair.seeds),
        "difference": sign * pair.difference,
        "low": ends[0] if ends else None,
        "high": ends[1] if ends else None,
        "p": pair.p_adjusted,
        "models": len(pair.mcnemar),
        "models_differ": sum(test.differ for test in pair.mcnemar),
        "distinguishable": pair.distinguishable,
    }


def _plain(effect: Effect) -> dict[str, Any]:
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


def _confounded(groups: Sequence[Group]) -> list[str]:
    """The settings in which ``groups`` differ, if every two of them differ in more than one."""
    pairs = [
        {key for key in a.recipe if key != "experiment" and a.recipe[key] != b.recipe[key]}
        for a, b in combinations(groups, 2)
    ]
    return sorted(set().union(*pairs)) if pairs and all(len(p) > 1 for p in pairs) else []


def _of(experiment: str, groups: Sequence[Group]) -> Group | None:
    """The recipe of ``experiment`` with the most seeds: the one that was not played with."""
    mine = [g for g in groups if g.experiment == experiment]
    return max(mine, key=lambda g: len(g.results), default=None)
