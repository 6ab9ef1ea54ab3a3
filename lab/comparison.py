"""What the report's comparison says, as values for Typst."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from lab_utils import LabError
from lab_utils.core.run import Run
from lab_utils.experiments.drawings import Drawing, drawings
from lab_utils.experiments.effects import SHAPE, ablation, heads, plain, varied
from lab_utils.experiments.recipes import Group, group, rows
from lab_utils.experiments.results import around_run as around
from lab_utils.experiments.results import results_dir
from lab_utils.experiments.sentences import sentence
from lab_utils.experiments.significance import Pair, compare, reference_of

COURSE = ("exp1_baseline", "exp2_low_lr", "exp3_big_batch")


def section(run: Run) -> tuple[dict[str, Any], dict[str, Drawing]]:
    """What the comparison of ``run`` with the runs around it says, and its figures by name.

    The values are plain, for JSON. Raises LabError where ``run`` has not been tested.
    """
    results, apart = around(run)
    groups = group(results)
    own = next(g for g in groups if any(r.folder == run.path for r in g.results))
    shown = heads(groups, own)
    parts = [plain(effect) for effect in ablation(groups) if effect.setting not in SHAPE]
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


def _tested(shown: Sequence[Group], own: Group) -> dict[str, Any]:
    """The tests against one recipe, ``reference_of`` them, as a table and in words."""
    reference = reference_of(shown)
    pairs = compare(shown, reference)
    told = [p for p in pairs if own in (p.a, p.b)] if own is not reference else []
    return {
        "reference": reference.label,
        "reference_seeds": len(reference.results),
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
