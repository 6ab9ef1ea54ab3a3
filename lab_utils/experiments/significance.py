"""Is a difference more than chance? Tests of two models, and of two recipes over their seeds.

A model is one set of trained weights; McNemar's test compares two of them on the same images. A
recipe gives another model with every seed; the paired test compares recipes seed by seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import mean, stdev
from typing import Any, TypeVar

from scipy.stats import ttest_rel

from lab_utils import LabError
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.experiments.recipes import Group, check_same_data
from lab_utils.experiments.results import Result

ALPHA = 0.05  # below it a (corrected) p-value counts as more than chance


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test (Psychometrika 12, 1947) of two models on the same images."""

    seeds: tuple[int, int]  # of the two models
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

    The interval and the p-values are those of Student's paired test; None with fewer than two seeds
    in common, or where the difference is the same with every seed, so that its spread is unknown.
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


def mcnemar(a: Result, b: Result) -> McNemar:
    """McNemar's exact test of the models of two runs; ``p_adjusted`` is not corrected here.

    Raises LabError where a run has no predictions or the test images differ.
    """
    for result in (a, b):
        if result.predicted is None:
            raise LabError(f"Run {result.name!r} has no predictions.npz; run 05_evaluation again.")
    if a.targets.tolist() != b.targets.tolist():
        raise LabError(f"{a.name} and {b.name} were not tested on the same images.")
    right_a, right_b = a.predicted == a.targets, b.predicted == b.targets
    table = [
        [int((right_a & right_b).sum()), int((right_a & ~right_b).sum())],
        [int((~right_a & right_b).sum()), int((~right_a & ~right_b).sum())],
    ]
    test = _statsmodels().contingency_tables.mcnemar(table, exact=True)
    p_value = float(test.pvalue)
    return McNemar(
        (a.seed, b.seed), len(a.targets), table[0][1], table[1][0], p_value, p_value
    )  # fmt: skip


def compare(groups: Sequence[Group], reference: Group | None = None) -> list[Pair]:
    """Every two of ``groups``, or each against ``reference``, tested; highest accuracy first.

    p-values are corrected for how many pairs these are: all pairs of ten recipes are 45, and with
    three seeds hardly any difference survives so many questions.

    Raises LabError where the groups used different data, or statsmodels is missing.
    """
    check_same_data([result for g in groups for result in g.results])
    ordered = sorted(groups, key=lambda g: -g.accuracy)
    pairs = [
        _pair(a, b)
        for a, b in combinations(ordered, 2)
        if reference is None or a is reference or b is reference
    ]
    pairs = _holm(pairs, lambda pair: pair.p_value)
    tests = iter(_holm([t for p in pairs for t in p.mcnemar], lambda test: test.p_value))
    return [replace(p, mcnemar=tuple(next(tests) for _ in p.mcnemar)) for p in pairs]


def reference_of(groups: Sequence[Group]) -> Group:
    """The recipe to test the others against: the best by validation accuracy.

    Of those with several seeds, where there are two or more: only they differ as recipes, and not
    as single models.
    """
    repeated = [g for g in groups if len(g.results) > 1]
    return max(repeated if len(repeated) > 1 else groups, key=lambda g: g.val_accuracy)


def one_batch(accuracy: float, batch_size: int) -> dict[str, Any]:
    """What an accuracy that was measured on one batch says: counts and Wilson's 95% interval.

    0.796875 with 128 images is 102 right ones. The keys: ``correct``, ``images``, ``low``, ``high``
    and ``of_split``, whether 10,000 images can give these digits at all.
    Raises LabError where the accuracy is no whole number of images of the batch.
    """

    correct = round(accuracy * batch_size)
    if abs(correct / batch_size - accuracy) > 1e-9:
        raise LabError(f"{accuracy} of {batch_size} images is no whole number of images.")
    low, high = wilson_interval(correct, batch_size)
    possible = abs(accuracy * 10_000 - round(accuracy * 10_000)) < 1e-6
    return {
        "correct": correct, "images": batch_size, "low": low, "high": high, "of_split": possible,
    }  # fmt: skip


def _pair(a: Group, b: Group) -> Pair:
    of_a, of_b = ({result.seed: result for result in g.results} for g in (a, b))
    seeds = tuple(seed for seed in of_a if seed in of_b)
    models = [(of_a[s], of_b[s]) for s in seeds] or [(a.results[0], b.results[0])]
    tested = tuple(mcnemar(x, y) for x, y in models if _same_images(x, y))
    low = high = p_value = None
    difference = a.accuracy - b.accuracy
    if seeds:
        scores = [[r[s].test_accuracy for s in seeds] for r in (of_a, of_b)]
        differences = [x - y for x, y in zip(*scores, strict=True)]
        difference = mean(differences)
        if len(seeds) > 1 and stdev(differences) > 1e-12:
            test = ttest_rel(*scores)
            p_value = float(test.pvalue)
            low, high = (float(end) for end in test.confidence_interval(0.95))
    return Pair(a, b, seeds, difference, low, high, p_value, p_value, tested)


def _same_images(a: Result, b: Result) -> bool:
    known = a.predicted is not None and b.predicted is not None
    return known and a.targets.tolist() == b.targets.tolist()


_Test = TypeVar("_Test", McNemar, Pair)


def _holm(tests: list[_Test], p_value: Callable[[_Test], float | None]) -> list[_Test]:
    """``tests`` with ``p_adjusted`` by Holm's method (Scand. J. Stat. 6, 1979)."""
    values = [p_value(test) for test in tests]
    known = [value for value in values if value is not None]
    if not known:
        return tests
    adjusted = iter(_statsmodels().multitest.multipletests(known, method="holm")[1])
    return [
        test if value is None else replace(test, p_adjusted=float(next(adjusted)))
        for test, value in zip(tests, values, strict=True)
    ]


def _statsmodels() -> Any:
    try:
        import statsmodels.stats.contingency_tables
        import statsmodels.stats.multitest
    except ImportError:
        raise LabError(
            "Tests of significance need statsmodels; install the extra with "
            "`pip install -e .[compare]`."
        ) from None
    return statsmodels.stats
