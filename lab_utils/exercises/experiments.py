"""The exercises of notebook 07: a test of two models, and how many seeds a recipe needs."""

from collections.abc import Callable
from itertools import count
import math
import numbers

import numpy as np
from scipy import stats

from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def mcnemar_p(answer: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """McNemar's exact two-sided p-value from two boolean arrays (N,): which images are right."""
    generator = np.random.default_rng(7)
    # Images that both get right, only the first, only the second, neither.
    cases = [(3, 8, 2, 4), (5, 2, 8, 1), (4, 3, 3, 2), (0, 1, 0, 0), (6, 0, 0, 3), (0, 60, 90, 50)]
    for case in cases:
        which = generator.permutation(np.repeat(np.arange(4), case))
        right_a, right_b = which < 2, which % 2 == 0
        only_a, only_b = case[1:3]
        p = 1.0 if only_a + only_b == 0 else stats.binomtest(only_a, only_a + only_b).pvalue
        found = call(answer, right_a, right_b)
        kind = f"it gives a {type(found).__name__}, not a number"
        expect(isinstance(found, numbers.Real), kind)
        expect(
            math.isclose(found, p, rel_tol=1e-6),
            f"with {only_a} images that only the first gets right, {only_b} only the second, "
            f"{case[0]} both and {case[3]} neither, p is {found:.4g}, not {p:.4g}",
        )
    return f"{len(cases)} pairs of models, equal ones among them"


@exercise
def seeds_needed(answer: Callable[[float, float], int]) -> str:
    """The smallest n >= 2 with t(0.975, n - 1) * spread / sqrt(n) < difference."""
    cases = [(1.0, 0.5), (0.36, 0.5), (0.5, 0.1), (0.2, 5.0), (0.0, 0.5)]
    for spread, difference in cases:
        half_widths = ((n, stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n)) for n in count(2))
        n = next(n for n, half in half_widths if half < difference)
        found = call(answer, spread, difference)
        expect(
            found == n,
            f"for a standard deviation of {spread} and a difference of {difference} points it "
            f"gives {found}, not {n}",
        )
    return "from wide to no spread over the seeds"
