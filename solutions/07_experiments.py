"""Solutions of the exercises in notebook 07."""

from math import comb, sqrt

import numpy as np
from scipy import stats


def mcnemar_p(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """Twice the probability that of b + c throws of a coin so few are heads, or fewer.

    Where b = c both sides count the middle, and the sum exceeds 1; without any throw it is 2.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    throws = only_a + only_b
    ways = sum(comb(throws, heads) for heads in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * ways / 2**throws)


def seeds_needed(spread: float, difference: float) -> int:
    """Counted upwards, because Student's t depends on the n that is sought."""
    n = 2
    while stats.t.ppf(0.975, n - 1) * spread / sqrt(n) >= difference:
        n += 1
    return n
