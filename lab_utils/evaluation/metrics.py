"""Figures of merit from logits (N, K) and targets (N,): tensors on the CPU or arrays.

Without torch; scikit-learn is imported only where it is used, so that a comparison of runs loads
quickly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
import pydantic.dataclasses
from scipy.special import log_softmax
from scipy.stats import binomtest, rankdata

from lab_utils import LabError

BINS = 15  # of the calibration error


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a share (J. Am. Stat. Assoc. 22, 1927), in fractions of 1."""
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def summarize(logits: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """The figures of the test images by their names in ``metrics.json``.

    Accuracy with its 95% interval, mean cross-entropy (nats), macro precision, recall and F1,
    one-vs-rest ROC-AUC (NaN where a class is missing from the targets) and calibration error.
    Raises LabError where a logit is not finite.
    """
    if not np.isfinite(np.asarray(logits)).all():
        raise LabError(
            "An answer of the network is no finite number: its training diverged; lower lr and run "
            "04_training again."
        )
    y, classes = np.asarray(targets), np.shape(logits)[1]
    belongs = y[:, None] == np.arange(classes)
    of_class, others = belongs.sum(0), (~belongs).sum(0)
    auc = np.nan
    if of_class.all():  # from the sums of the ranks (Mann and Whitney, Ann. Math. Stat. 18, 1947)
        ranks = rankdata(np.exp(_log_probabilities(logits)), axis=0).sum(0, where=belongs)
        auc = ((ranks - of_class * (of_class + 1) / 2) / (of_class * others)).mean()
    return counted(_predicted(logits), y, classes) | {
        "test_loss": cross_entropy(logits, y),
        "macro_auc": float(auc),
        "ece": calibration_error(reliability(logits, y)),
    }


def counted(predicted: ArrayLike, targets: ArrayLike, classes: int) -> dict[str, float]:
    """Those figures of ``summarize`` that follow from the (N,) ``predicted`` classes alone.

    Raises ValueError where one of them or of the ``targets`` is no class.
    """
    both = [np.asarray(y) for y in (targets, predicted)]
    if any(y.dtype.kind not in "iu" for y in both):
        raise ValueError("not whole numbers")
    pairs = np.stack([y.astype(np.int64) for y in both])  # in bytes the products would overflow
    if pairs.min() < 0 or pairs.max() >= classes:
        raise ValueError("not a class")
    counts = np.bincount(classes * pairs[0] + pairs[1], minlength=classes**2)
    counts = counts.reshape(classes, classes)
    hits, answered, images = np.diag(counts), counts.sum(0), counts.sum(1)
    correct, total = int(hits.sum()), int(images.sum())
    low, high = wilson_interval(correct, total)
    return {
        "test_images": total,
        "test_correct": correct,
        "test_accuracy": correct / total,
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "macro_precision": float((hits / np.maximum(answered, 1)).mean()),
        "macro_recall": float((hits / np.maximum(images, 1)).mean()),
        "macro_f1": float((2 * hits / np.maximum(answered + images, 1)).mean()),
    }


def losses(logits: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """Of each image -ln of the probability of its true class, in nats: (N,) float64."""
    which = np.asarray(targets)[:, None]
    return -np.take_along_axis(_log_probabilities(logits), which, axis=1)[:, 0]


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> float:
    """The mean of ``losses``."""
    return float(losses(logits, targets).mean())


def _predicted(logits: ArrayLike) -> np.ndarray:
    return np.asarray(logits).argmax(1)


def _log_probabilities(logits: ArrayLike) -> np.ndarray:
    return log_softmax(np.asarray(logits, np.float64), axis=1)


@pydantic.dataclasses.dataclass(frozen=True)
class ClassScores:
    """What a class scores, in fractions of 1; ``recall`` is the accuracy on its images."""

    name: Annotated[str, Field(serialization_alias="class")]
    precision: float
    recall: float
    f1: float
    support: int  # images
    low: float  # of the 95% interval of recall
    high: float


def per_class(logits: ArrayLike, targets: ArrayLike, classes: Sequence[str]) -> list[ClassScores]:
    """The scores of each class; 0 where nothing was predicted or nothing is to be found."""
    from sklearn.metrics import precision_recall_fscore_support

    y, predicted = np.asarray(targets), _predicted(logits)
    labels = np.arange(len(classes))
    columns = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    found = np.bincount(y[y == predicted], minlength=len(classes)).tolist()
    return [
        ClassScores(name, *scores, int(n), *wilson_interval(k, max(int(n), 1)))
        for name, *scores, n, k in zip(classes, *columns, found, strict=True)
    ]


def confusion(logits: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """(K, K) int64 counts: row = true class, column = predicted class."""
    from sklearn.metrics import confusion_matrix

    labels = np.arange(np.shape(logits)[1])
    return confusion_matrix(np.asarray(targets), _predicted(logits), labels=labels)


@dataclass(frozen=True)
class Confused:
    """An error: ``count`` images of the class ``true``, a ``share`` of them, were ``predicted``."""

    true: str
    predicted: str
    count: int
    share: float


def confused_pairs(counts: np.ndarray, classes: Sequence[str], top: int = 5) -> list[Confused]:
    """The ``top`` most frequent errors in a matrix of ``confusion``."""
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:top]
    return [
        Confused(classes[i], classes[j], int(errors[i, j]), float(errors[i, j] / counts[i].sum()))
        for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)
        if errors[i, j] > 0
    ]


@dataclass(frozen=True)
class Bin:
    """The predictions with a confidence from ``lower`` to ``upper``, and the means over them."""

    lower: float
    upper: float
    count: int
    confidence: float | None  # None in an empty bin
    accuracy: float | None


def reliability(logits: ArrayLike, targets: ArrayLike) -> list[Bin]:
    """``BINS`` bins of equal width by confidence, the probability of the predicted class."""
    confidence = np.exp(_log_probabilities(logits)).max(1)
    right = _predicted(logits) == np.asarray(targets)
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = []
    for b in range(BINS):
        inside = which == b
        means = [float(x[inside].mean()) if inside.any() else None for x in (confidence, right)]
        rows.append(Bin(b / BINS, (b + 1) / BINS, int(inside.sum()), *means))
    return rows


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error of these bins (Guo et al., arXiv:1706.04599)."""
    gaps = sum(b.count * abs(b.confidence - b.accuracy) for b in bins if b.count)
    return gaps / sum(b.count for b in bins)
