"""Is a difference more than chance? Tests of two models, and of two recipes over their seeds.

A model is one set of trained weights; McNemar's test compares two of them on the same images. A
recipe gives another model with every seed; the paired t-test compares recipes seed by seed. The
sentences claim no more than these tests show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Any

import numpy as np
from scipy.stats import binomtest, ttest_rel
from statsmodels.stats.multitest import multipletests

from lab_utils.experiments.folds import cross_validations
from lab_utils.experiments.recipes import Group
from lab_utils.experiments.results import Result

ALPHA = 0.05  # below it a (corrected) p-value counts as more than chance


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test (Psychometrika 12, 1947) of two models on the same images."""

    images: int
    only_a: int  # images that the first model alone gets right
    only_b: int
    p_value: float  # two-sided: that chance gives so unequal counts, or more so
    p_adjusted: float  # by Holm's method, over all such tests made together

    @property
    def differ(self) -> bool:
        """Whether the two models are told apart."""
        return self.p_adjusted < ALPHA


@dataclass(frozen=True, eq=False)
class Pair:
    """Two recipes; ``a`` has the higher mean test accuracy. Differences are fractions of 1.

    The interval and the p-values are those of Student's paired test over the seeds, on these test
    images; None with fewer than two seeds in common, or where the difference is the same with every
    seed, so that its spread is unknown.
    """

    a: Group
    b: Group
    seeds: tuple[int, ...]  # those that both were trained with
    difference: float  # of the mean accuracies, over these seeds (over all where none is shared)
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None  # by Holm's method, over all pairs compared together
    mcnemar: tuple[McNemar, ...]  # a shared seed each; else of the first seeds; () without images

    @property
    def distinguishable(self) -> bool:
        """Whether the recipes are told apart; with one seed, whether the two models are."""
        if self.p_adjusted is not None:
            return self.p_adjusted < ALPHA
        return any(test.differ for test in self.mcnemar)


def mcnemar(a: Result, b: Result) -> McNemar | None:
    """McNemar's exact test of the models of two runs; ``p_adjusted`` is not corrected here.

    What both get right, or wrong, does not count. None where they were tested on other images.
    """
    if not np.array_equal(a.targets, b.targets):
        return None
    right_a, right_b = a.predicted == a.targets, b.predicted == b.targets
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    apart = only_a + only_b
    p = float(binomtest(only_a, apart).pvalue) if apart else 1.0
    return McNemar(len(a.targets), only_a, only_b, p, p)


def compare(groups: Sequence[Group], reference: Group | None = None) -> list[Pair]:
    """Every two of ``groups``, or each against ``reference``, tested; highest accuracy first.

    p-values are corrected for how many pairs these are: all pairs of ten recipes are 45, and with
    three seeds hardly any difference survives so many questions.
    """
    ordered = sorted(groups, key=lambda g: -g.accuracy)
    pairs = [_pair(a, b) for a, b in combinations(ordered, 2) if reference in (None, a, b)]
    tests = iter(_holm([test for pair in pairs for test in pair.mcnemar]))
    return [replace(pair, mcnemar=tuple(islice(tests, len(pair.mcnemar)))) for pair in _holm(pairs)]


def reference_of(groups: Sequence[Group]) -> Group:
    """The recipe to test the others against: the best by validation accuracy.

    Of those with several seeds, where there are two or more: only they differ as recipes, and not
    as single models.
    """
    repeated = [g for g in groups if g.seeds > 1]
    return max(repeated if len(repeated) > 1 else groups, key=lambda g: g.val_accuracy)


def _pair(a: Group, b: Group) -> Pair:
    of_a, of_b = ({result.run.settings.seed: result for result in g.results} for g in (a, b))
    seeds = tuple(seed for seed in of_a if seed in of_b)
    models = [(of_a[s], of_b[s]) for s in seeds] or [(a.results[0], b.results[0])]
    tested = tuple(test for x, y in models if (test := mcnemar(x, y)))
    low = high = p_value = None
    difference = a.accuracy - b.accuracy
    if seeds:
        first, second = np.array([[x.test_accuracy, y.test_accuracy] for x, y in models]).T
        difference = float((first - second).mean())
        if np.ptp(first - second) > 1e-12:  # without a spread there is nothing to test
            test = ttest_rel(first, second)
            p_value = float(test.pvalue)
            low, high = map(float, test.confidence_interval(0.95))
    return Pair(a, b, seeds, difference, low, high, p_value, p_value, tested)


def _holm(tests: Sequence[Any]) -> list[Any]:
    """``tests`` with ``p_adjusted`` by Holm's method (Scand. J. Stat. 6, 1979)."""
    known = [test.p_value for test in tests if test.p_value is not None]
    adjusted = iter(multipletests(known, method="holm")[1].tolist() if known else ())
    return [t if t.p_value is None else replace(t, p_adjusted=next(adjusted)) for t in tests]


def paragraph(groups: Sequence[Group]) -> list[str]:
    """What a comparison says: what was compared, then a sentence or two per pair.

    The pairs of more than three recipes are too many to read, so these have a reference.
    """
    reference = reference_of(groups) if len(groups) > 3 else None
    first, against = groups[0].results[0], f"; reference: {reference.label}" if reference else ""
    start = (
        f"Recipes: {len(groups)}; runs: {sum(g.seeds for g in groups)}; data: {first.data} "
        f"({first.test_images:,} test images){against}."
    )
    folds = [str(found) for found in cross_validations(groups)]
    return [start, *map(sentence, compare(groups, reference)), *folds]


def sentence(pair: Pair) -> str:
    """One pair: the difference, its uncertainty, and whether it is more than chance."""
    n, tests, told = len(pair.seeds), pair.mcnemar, ""
    start = f"{pair.a.label} against {pair.b.label}: {100 * pair.difference:+.2f} points"
    if tests:
        told = (
            f" On the same {tests[0].images:,} images McNemar's exact test tells the two models of "
            f"a seed apart with {sum(test.differ for test in tests)} of {len(tests)} seeds."
        )
    if pair.p_adjusted is not None:
        verdict = "distinguishable" if pair.distinguishable else "not distinguishable"
        return (
            f"{start} over {n} seeds (95% interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f})"
            f", paired t-test {_p(pair)}: {verdict} at {n} seeds.{told}"
        )
    if not tests:
        return f"{start}, not tested: no two runs have predictions of the same images."
    if len(tests) > 1:
        return f"{start} with each of {n} seeds, which leaves no spread to test.{told}"
    (test,) = tests
    verdict = "not distinguishable"
    if test.differ:
        verdict = "these two models are distinguishable; what another seed would give is not known"
    own, other = (g.results[0].run.settings.seed for g in (pair.a, pair.b))
    seeds = "one seed" if n else f"seeds {own} and {other}"
    return (
        f"{start} at {seeds}. Of {test.images:,} test images {test.only_a:,} are right in the "
        f"first alone and {test.only_b:,} in the second alone; McNemar's exact test {_p(test)}: "
        f"{verdict}."
    )


def _p(test: McNemar | Pair) -> str:
    text, corrected = (
        "p < 0.001" if p < 0.001 else f"p = {p:.3f}" for p in (test.p_value, test.p_adjusted)
    )
    return text if test.p_adjusted == test.p_value else f"{text}, {corrected} by Holm's correction"
