"""What the tests found, in words that claim no more than they show."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean, stdev

from lab_utils.experiments.recipes import Group
from lab_utils.experiments.significance import McNemar, Pair


def paragraph(
    groups: Sequence[Group], pairs: Sequence[Pair], reference: Group | None = None
) -> list[str]:
    """What a comparison says: what was compared, then a sentence or two per pair."""
    first, runs = groups[0].results[0], sum(len(g.results) for g in groups)
    against = f"; each against {reference.label}" if reference else ""
    return [
        f"{_count(len(groups), 'recipe')}, {_count(runs, 'run')} on {first.data} "
        f"({first.test_images:,} test images){against}.",
        *(sentence(pair) for pair in pairs),
        *cross_validations(groups),
    ]


def cross_validations(groups: Sequence[Group]) -> list[str]:
    """What k-fold cross-validation gives, a sentence for each recipe and seed with several folds.

    Only the spread is told and no interval: the folds' training images overlap, so their results
    are not independent, and no estimate of the mean's variance is unbiased (Bengio and Grandvalet,
    JMLR 5, 2004).
    """
    found: dict[tuple[str, int, int], dict[int, float]] = defaultdict(dict)
    for g in groups:
        rest = [part for part in g.changed.split(", ") if not part.startswith("fold=")]
        label = f"{g.experiment} ({', '.join(rest)})" if any(rest) else g.experiment
        for result in g.results:
            key = (label, result.settings.folds or 0, result.seed)
            found[key][result.settings.fold] = result.val_accuracy
    return [
        f"{label}, {len(folds)} of {k} folds: validation accuracy {mean(folds.values()):.2%} in "
        f"the mean, with a standard deviation of {100 * stdev(folds.values()):.2f} points from "
        "fold to fold."
        for (label, k, _), folds in found.items()
        if len(folds) > 1
    ]


def sentence(pair: Pair) -> str:
    """One pair: the difference, its uncertainty, and whether it is more than chance."""
    a, b, n = pair.a.label, pair.b.label, len(pair.seeds)
    start = f"{a} against {b}: {100 * pair.difference:+.2f} points"
    if pair.p_adjusted is not None:
        verdict = "distinguishable" if pair.distinguishable else "not distinguishable"
        start += (
            f" over {n} seeds (95% interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f}), "
            f"paired t-test {_p(pair.p_value, pair.p_adjusted)}: "
            f"{verdict} at {n} seeds."
        )
        return f"{start} {_models(pair.mcnemar)}".strip()
    if not pair.mcnemar:
        return f"{start}, not tested: no two runs have predictions of the same images."
    if len(pair.mcnemar) > 1:
        start += f" with each of {n} seeds, which leaves no spread to test."
        return f"{start} {_models(pair.mcnemar)}"
    (test,) = pair.mcnemar
    verdict = (
        "these two models are distinguishable; what another seed would give is not known"
        if test.differ
        else "not distinguishable"
    )
    seeds = "one seed" if test.seeds[0] == test.seeds[1] else "seeds {} and {}".format(*test.seeds)
    return (
        f"{start} at {seeds}. Of {test.images:,} test images {test.only_a:,} are right in the "
        f"first alone and {test.only_b:,} in the second alone; McNemar's exact test "
        f"{_p(test.p_value, test.p_adjusted)}: {verdict}."
    )


def _models(tests: Sequence[McNemar]) -> str:
    if not tests:
        return ""
    told = sum(test.differ for test in tests)
    return (
        f"On the same {tests[0].images:,} images McNemar's exact test tells the two models of a "
        f"seed apart with {told} of {len(tests)} seeds."
    )


def _p(value: float, adjusted: float) -> str:
    text = _number(value)
    return text if adjusted == value else f"{text}, {_number(adjusted)} by Holm's correction"


def _number(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
