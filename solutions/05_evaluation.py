"""Solutions of the exercises in notebook 05."""

import numpy as np
from torch import Tensor


def better(correct1: int, correct2: int, n: int) -> str:
    """Zero lies outside the interval where the difference is more than 1.96 times its error.

    The squares of the two errors add up, so the error of the difference is smaller than the sum of
    both: intervals that overlap a little do not show that the models are equal.
    """
    p, q = correct1 / n, correct2 / n
    error = (p * (1 - p) / n + q * (1 - q) / n) ** 0.5
    if abs(p - q) <= 1.96 * error:
        return "cannot tell"
    return "first" if p > q else "second"


def confusion(targets: Tensor, predicted: Tensor, k: int) -> np.ndarray:
    """Each pair becomes one number, row times k plus column; these numbers are counted."""
    return np.bincount(k * targets + predicted, minlength=k * k).reshape(k, k)


def ece(confidence: Tensor, right: Tensor) -> float:
    """The gap of each bin, weighted by its images; a bin without images has no weight."""
    which = (15 * confidence).long().clamp(max=14)  # a confidence of 1 belongs to the last bin
    total = 0.0
    for b in range(15):
        inside = which == b
        if inside.any():
            gap = right[inside].double().mean() - confidence[inside].double().mean()
            total += inside.sum() * gap.abs()
    return float(total) / len(right)
