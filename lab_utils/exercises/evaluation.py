"""The exercises of notebook 05: compare two models, count confusions, measure calibration."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix
import torch
from torch import Tensor

from lab_utils.evaluation.metrics import calibration_error, reliability
from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def better(answer: Callable[[int, int, int], str]) -> str:
    """Whether the 95% interval of the difference of two accuracies leaves out zero."""
    for first, second, n in (  # so far from the limit that every usual interval says the same
        (7700, 7500, 10_000), (7500, 7700, 10_000), (7600, 7500, 10_000),
        (7640, 7500, 10_000),  # the two intervals overlap, and yet that of the difference is clear
        (102, 96, 128), (96, 102, 128), (120, 60, 128), (9990, 9950, 10_000), (50, 50, 50),
    ):  # fmt: skip
        p, q = first / n, second / n
        half = 1.96 * ((p * (1 - p) + q * (1 - q)) / n) ** 0.5
        low, high = 100 * (p - q - half), 100 * (p - q + half)
        right = "first" if low > 0 else "second" if high < 0 else "cannot tell"
        found = call(answer, first, second, n)
        expect(
            found == right,
            f"for {first:,} and {second:,} right of {n:,} it says {found!r}, not {right!r}: the "
            f"difference is {100 * (p - q):+.1f} points, its interval {low:+.1f} to {high:+.1f}",
        )
    return "also where the two intervals overlap but that of the difference leaves out zero"


@exercise
def confusion(answer: Callable[[Tensor, Tensor, int], Any]) -> str:
    """(k, k) counts, row = true class, column = prediction, as scikit-learn's."""
    draw = torch.Generator().manual_seed(0)
    cases = [  # targets, predictions, k
        ([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 0, 0], 3),
        ([0, 0, 1], [1, 1, 0], 4),  # the last two classes never occur
        ([2], [0], 3),
        [*torch.randint(10, (2, 500), generator=draw).tolist(), 10],
    ]
    for targets, predicted, k in cases:
        right = confusion_matrix(targets, predicted, labels=range(k))
        found = np.asarray(call(answer, torch.tensor(targets), torch.tensor(predicted), k))
        given = f"for {len(targets)} images and {k} classes"
        if len(targets) < 10:
            given = f"for targets {targets}, predictions {predicted} and {k} classes"
        shapes = f"{given} the shape is {found.shape}, not {right.shape}"
        expect(found.shape == right.shape, shapes)
        turned = "; rows and columns are exchanged" if np.array_equal(found.T, right) else ""
        off = f"it gives {found.tolist()}, not {right.tolist()}" if k < 5 else "counts are wrong"
        expect(np.array_equal(found, right), f"{given} {off}{turned}")
    return "scikit-learn counts the same, classes that never occur too"


@exercise
def ece(answer: Callable[[Tensor, Tensor], float]) -> str:
    """The expected calibration error in 15 bins of equal width."""
    draw = torch.Generator().manual_seed(0)
    many = 2 * torch.randn(1000, 4, generator=draw, dtype=torch.float64)
    few, example = many[:5], torch.tensor([[0.8, 0.2]] * 4 + [[0.6, 0.4]] * 2).double().log()
    for words, logits, targets in (
        ("the six predictions above", example, torch.tensor([0, 0, 0, 1, 0, 0])),
        ("five images, so that most bins are empty", few, few.argmin(1) % 3),
        ("1,000 images", many, torch.randint(4, (1000,), generator=draw)),
        ("1,000 images and a surer model", 3 * many, (many + many.roll(1)).argmax(1)),
        ("one image with a confidence of 1", torch.tensor([[999.0, 0.0]]), torch.tensor([1])),
    ):
        confidence, predicted = logits.softmax(1).max(1)
        found = torch.as_tensor(call(answer, confidence, predicted == targets))
        theirs = calibration_error(reliability(logits, targets))
        expect(found.numel() == 1, f"for {words} it gives {found.numel()} numbers, not one")
        off = f"for {words} it gives {found.item():.4f}, not {theirs:.4f}"
        expect(abs(found.item() - theirs) < 1e-5, off)
    return "the library gives the same, with empty bins too"
