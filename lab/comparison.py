"""What the report's comparison says, as values for Typst."""

from collections import Counter
from statistics import mean
from typing import Any

from lab_utils.core.drawing import Drawing
from lab_utils.core.run import OPTIONAL, Run
from lab_utils.experiments import figures
from lab_utils.experiments.effects import Effect, ablation, sensitivity
from lab_utils.experiments.folds import cross_validations
from lab_utils.experiments.recipes import Group, group, overview
from lab_utils.experiments.results import Result, find_all, load, results_dir
from lab_utils.experiments.significance import Pair, compare, reference_of, sentence

COURSE = ("exp1_baseline", "exp2_low_lr", "exp3_big_batch")


def section(run: Run) -> tuple[dict[str, Any], list[Drawing]]:
    """What the comparison of ``run`` with the runs around it says, and its figures.

    Those are the runs beside it that were tested on the same images, and with them those in
    ``report/results`` where one of the optional notebooks has run. The course's experiments are
    always looked for in both. The values are plain, for JSON. Raises LabError where ``run`` has not
    been tested.
    """
    damaged: dict[str, str] = {}
    mine, beside = load(run), find_all(run.path.parent, damaged=damaged)
    committed = find_all(results_dir(), damaged=damaged)
    in_full = any(run.done(step) for step in OPTIONAL)
    others = [r for r in beside if r.run.path != run.path] + (committed if in_full else [])
    groups = group([mine, *(r for r in others if r.test_split == mine.test_split)])
    used = [result for g in groups for result in g.results]
    own = next(g for g in groups if any(r.run.path == run.path for r in g.results))
    shown, effects = overview(groups, own), sensitivity(groups)
    reference = reference_of(shown)
    pairs = compare(shown, reference)
    told = [p for p in pairs if own in (p.a, p.b)] if own is not reference else []
    course = _course([mine, *beside, *committed], mine.test_split)
    values = {
        "rows": [g.row | {"this": g is own} for g in shown],
        "recipes": len(overview(groups, own, most=len(groups))),
        "runs": len(used),
        "committed": sum(r.run.path.is_relative_to(results_dir()) for r in used),
        "left": 0 if in_full else len(committed),
        "damaged": damaged,
        "apart": Counter(r.data for r in others if r.test_split != mine.test_split),
        "course": {name: g.row | {"train_accuracy": _trained(g)} for name, g in course.items()},
        "course_sentences": [sentence(pair) for pair in compare(list(course.values()))],
        "reference": reference.label,
        "reference_seeds": reference.seeds,
        "pairs": [_pair(pair, reference) for pair in pairs],
        "sentences": [sentence(pair) for pair in dict.fromkeys([*pairs[:1], *told])],
        "sensitivity": [_effect(effect) for effect in effects],
        "ablation": [_effect(effect) for effect in ablation(groups)],
        "folds": [str(found) for found in cross_validations(groups)],
    }
    drawings = []
    if len(groups) > 1:
        drawings = [figures.compared_curves(groups, own), figures.compared_pareto(groups, own)]
        drawings += [figures.compared_sensitivity(effects)] if effects else []
    return values, drawings


def _course(results: list[Result], test_split: str) -> dict[str, Group]:
    """The course's experiments among ``results`` on the same test images, as nobody varied them."""
    groups = group(r for r in results if r.test_split == test_split)
    tried = {name: [g for g in groups if g.experiment == name] for name in COURSE}
    return {name: min(found, key=_varied) for name, found in tried.items() if found}


def _trained(g: Group) -> float:
    """The accuracy while training, in the last epoch: the mean over the seeds."""
    return mean(r.history[-1].train_accuracy for r in g.results)


def _varied(g: Group) -> tuple[bool, int]:
    """Sorts the recipe that nobody varied first, and then those with the most seeds."""
    return bool(g.changed), -g.seeds


def _pair(pair: Pair, reference: Group) -> dict[str, Any]:
    """``pair`` as the difference of the other recipe from ``reference``."""
    sign, other = (1, pair.a) if pair.b is reference else (-1, pair.b)
    ends = [None, None] if pair.low is None else sorted((sign * pair.low, sign * pair.high))
    return {
        "label": other.label, "experiment": other.experiment, "changed": other.changed,
        "seeds": len(pair.seeds), "difference": sign * pair.difference, "low": ends[0],
        "high": ends[1], "p": pair.p_adjusted, "distinguishable": pair.distinguishable,
        "models": len(pair.mcnemar), "models_differ": sum(test.differ for test in pair.mcnemar),
    }  # fmt: skip


def _effect(effect: Effect) -> dict[str, Any]:
    """``effect`` as a row; a setting that is no number or text becomes text."""
    value, base = (
        value if isinstance(value, int | float | str) else str(value)
        for value in (effect.value, effect.base.recipe[effect.setting])
    )
    return effect.group.row | {
        "setting": effect.setting,
        "value": value,
        "base": base,
        "chosen": effect.chosen,
        "val_difference": effect.val_difference,
    }
