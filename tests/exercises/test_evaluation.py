"""What a student may plausibly answer wrongly in notebook 05 is judged wrong, with help."""

import numpy as np
from refused import refused
import torch

from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.exercises import evaluation as check


def larger(first, second, n):
    return "first" if first > second else "second" if second > first else "cannot tell"


def one_point(first, second, n):
    return "cannot tell" if abs(first - second) < n / 100 else larger(first, second, n)


def overlap(first, second, n):
    (low, high), (other_low, other_high) = (wilson_interval(k, n) for k in (first, second))
    return "first" if low > other_high else "second" if other_low > high else "cannot tell"


def error_of_one(first, second, n):
    p = first / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return "cannot tell" if abs(first - second) / n <= half else larger(first, second, n)


def without_n(first, second, n):
    half = 1.96 * sum(k / n * (1 - k / n) for k in (first, second)) ** 0.5
    return "cannot tell" if abs(first - second) / n <= half else larger(first, second, n)


def swapped(first, second, n):
    return {"first": "second", "second": "first"}.get(overlap(first, second, n), "cannot tell")


def first_or_not(first, second, n):
    return "first" if overlap(first, second, n) == "first" else "cannot tell"


def in_other_words(first, second, n):
    return overlap(first, second, n).replace("cannot tell", "tie")


def transposed(targets, predicted, k):
    return np.bincount(k * predicted + targets, minlength=k * k).reshape(k, k)


def of_those_that_occur(targets, predicted, k):
    k = int(max(targets.max(), predicted.max())) + 1
    return np.bincount(k * targets + predicted, minlength=k * k).reshape(k, k)


def without_minlength(targets, predicted, k):
    return np.bincount(k * targets + predicted).reshape(k, k)


def each_cell_once(targets, predicted, k):
    counts = torch.zeros(k, k, dtype=torch.int64)
    counts[targets, predicted] += 1
    return counts


def shares(targets, predicted, k):
    counts = torch.bincount(k * targets + predicted, minlength=k * k).view(k, k)
    return counts / counts.sum(1, keepdim=True)


def errors_alone(targets, predicted, k):
    counts = torch.bincount(k * targets + predicted, minlength=k * k).view(k, k)
    return counts - counts.diag().diag()


def binned(confidence, right, bins=15, last=True, skip_empty=True, weighted=True, signed=False):
    which = (bins * confidence).long()
    if last:
        which = which.clamp(max=bins - 1)
    total, filled = torch.tensor(0.0, dtype=torch.float64), 0
    for b in range(bins):
        inside = which == b
        if skip_empty and not inside.any():
            continue
        gap = right[inside].double().mean() - confidence[inside].double().mean()
        total += (inside.sum() if weighted else 1) * (gap if signed else gap.abs())
        filled += 1
    return total / (len(right) if weighted else filled)


def not_divided(confidence, right):
    return binned(confidence, right) * len(right)


def nan_for_empty(confidence, right):
    return binned(confidence, right, skip_empty=False)


def ten_bins(confidence, right):
    return binned(confidence, right, bins=10)


def certain_left_out(confidence, right):
    return binned(confidence, right, last=False)


def each_bin_alike(confidence, right):
    return binned(confidence, right, weighted=False)


def without_abs(confidence, right):
    return binned(confidence, right, signed=True)


def on_average(confidence, right):
    return (confidence.mean() - right.double().mean()).abs()


def each_image(confidence, right):
    return (confidence - right.double()).abs().mean()


def each_image_alone(confidence, right):
    return (confidence - right.double()).abs()


WRONG = {
    "better": [
        (larger, "for 7,600 and 7,500 right of 10,000 it says 'first', not 'cannot tell'"),
        (one_point, "the difference is +1.0 points, its interval -0.2 to +2.2"),
        (overlap, "it says 'cannot tell', not 'first': the difference is +1.4 points"),
        (error_of_one, "for 7,600 and 7,500 right of 10,000 it says 'first'"),
        (without_n, "for 7,700 and 7,500 right of 10,000 it says 'cannot tell', not 'first'"),
        (swapped, "it says 'second', not 'first'"),
        (first_or_not, "for 7,500 and 7,700 right of 10,000 it says 'cannot tell', not 'second'"),
        (in_other_words, "it says 'tie', not 'cannot tell'"),
    ],
    "confusion": [
        (transposed, "rows and columns are exchanged"),
        (of_those_that_occur, "and 4 classes the shape is (2, 2), not (4, 4)"),
        (without_minlength, "cannot reshape"),
        (each_cell_once, "it gives [[1, 1, 0], [0, 1, 0], [1, 0, 1]], not [[1, 1, 0], [0, 1, 0]"),
        (shares, "it gives [[0.5"),
        (errors_alone, "it gives [[0, 1, 0]"),
    ],
    "ece": [
        (not_divided, "for the six predictions above it gives 1.0000, not 0.1667"),
        (nan_for_empty, "for the six predictions above it gives nan"),
        (ten_bins, "for 1,000 images"),
        (certain_left_out, "for one image with a confidence of 1 it gives 0.0000, not 1.0000"),
        (each_bin_alike, "for the six predictions above it gives 0.2250, not 0.1667"),
        (without_abs, "for the six predictions above it gives 0.1000, not 0.1667"),
        (on_average, "for the six predictions above it gives 0.1000, not 0.1667"),
        (each_image, "for the six predictions above"),
        (each_image_alone, "it gives 6 numbers, not one"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)


def by_wilson(first, second, n):
    """Newcombe's interval of a difference (Stat. Med. 17, 1998), from Wilson's of each share."""
    p, q = first / n, second / n
    (p_low, p_high), (q_low, q_high) = (wilson_interval(k, n) for k in (first, second))
    low = p - q - ((p - p_low) ** 2 + (q_high - q) ** 2) ** 0.5
    high = p - q + ((p_high - p) ** 2 + (q - q_low) ** 2) ** 0.5
    return "first" if low > 0 else "second" if high < 0 else "cannot tell"


def test_other_right_ways_are_right_and_nothing_outside_changes():
    before = torch.get_rng_state()
    assert check.better.judge(by_wilson).status == "right"
    assert check.ece.judge(binned).status == "right"

    def cell_by_cell(targets, predicted, k):
        return [
            [int(((targets == i) & (predicted == j)).sum()) for j in range(k)] for i in range(k)
        ]

    assert check.confusion.judge(cell_by_cell).status == "right"
    assert torch.equal(torch.get_rng_state(), before)
