"""The uncertainty of a proportion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score
from torch import Tensor, nn


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (J. Am. Stat. Assoc. 22, 1927), as fractions of 1."""
    from scipy.stats import binomtest  # slow to load

    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def summarize(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Flat test figures from (N, K) logits and (N,) targets.

    Accuracy with its 95% interval, mean cross-entropy (nats), macro precision, recall and F1,
    one-vs-rest ROC-AUC (null where a class is missing from the targets) and ECE.
    """
    probabilities = logits.double().softmax(1).numpy()
    y, classes = targets.numpy(), np.arange(logits.shape[1])
    predicted = logits.argmax(1).numpy()
    correct = int((predicted == y).sum())
    low, high = wilson_interval(correct, len(y))
    precision, recall, f1, _ = precision_recall_fscore_support(
        y, predicted, labels=classes, average="macro", zero_division=0
    )
    complete = len(np.unique(y)) == len(classes)
    binary = len(classes) == 2
    scores = probabilities[:, 1] if binary else probabilities
    return {
        "test_images": len(y),
        "test_correct": correct,
        "test_accuracy": correct / len(y),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_loss": nn.functional.cross_entropy(logits.double(), targets).item(),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
        "macro_f1": float(f1),
        "macro_auc": float(roc_auc_score(y, scores, multi_class="ovr")) if complete else np.nan,
        "ece": reliability(logits, targets)["ece"],
    }


def per_class(logits: Tensor, targets: Tensor, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each class: name, support (samples), precision, recall (its accuracy) and F1."""
    rows = precision_recall_fscore_support(
        targets.numpy(), logits.argmax(1).numpy(), labels=np.arange(len(classes)), zero_division=0
    )
    keys = ("precision", "recall", "f1", "support")
    return [
        {"class": name} | {key: row[i].item() for key, row in zip(keys, rows, strict=True)}
        for i, name in enumerate(classes)
    ]


def confusion(logits: Tensor, targets: Tensor) -> np.ndarray:
    """(K, K) int64 counts: row = true class, column = predicted class."""
    return confusion_matrix(
        targets.numpy(), logits.argmax(1).numpy(), labels=np.arange(logits.shape[1])
    )


def confused_pairs(
    counts: np.ndarray, classes: Sequence[str], top: int = 5
) -> list[dict[str, Any]]:
    """The ``top`` largest errors: true and predicted class, count, share of the true class."""
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:top]
    pairs = [np.unravel_index(flat, counts.shape) for flat in order]
    return [
        {
            "true": classes[i],
            "predicted": classes[j],
            "count": int(errors[i, j]),
            "share": float(errors[i, j] / counts[i].sum()),
        }
        for i, j in pairs
        if errors[i, j] > 0
    ]


def reliability(logits: Tensor, targets: Tensor, bins: int = 15) -> dict[str, Any]:
    """Expected calibration error with equal-width bins (Guo et al., arXiv:1706.04599), as ``ece``.

    ``bins`` has a row per bin: lower, upper, count, and mean confidence and accuracy (null where
    the bin is empty).
    """
    confidence, predicted = logits.double().softmax(1).max(1)
    correct = (predicted == targets).double()
    which = (confidence * bins).long().clamp(max=bins - 1)
    rows, ece = [], 0.0
    for b in range(bins):
        inside = which == b
        count = int(inside.sum())
        row = {"lower": b / bins, "upper": (b + 1) / bins, "count": count}
        row["confidence"] = confidence[inside].mean().item() if count else None
        row["accuracy"] = correct[inside].mean().item() if count else None
        if count:
            ece += count / len(targets) * abs(row["confidence"] - row["accuracy"])
        rows.append(row)
    return {"ece": ece, "bins": rows}


def success_criteria(
    history: Sequence[dict[str, float]], train_accuracy: float, val_accuracy: float
) -> list[dict[str, Any]]:
    """The course's three criteria with the figures they are judged by and ``passed``.

    ``passed`` is None where one epoch alone leaves nothing to compare.

    ``train_accuracy`` and ``val_accuracy`` are of the same weights in evaluation mode: accuracy
    measured while training is pulled down by dropout and augmentation, and hides the gap.
    """
    first, last = history[0]["train_loss"], history[-1]["train_loss"]
    gap = train_accuracy - val_accuracy
    return [
        {
            "criterion": "Validation accuracy above 75%",
            "found": f"{val_accuracy:.2%}",
            "passed": val_accuracy > 0.75,
        },
        {
            "criterion": "Training loss falls from first to last epoch",
            "found": f"{first:.3f} to {last:.3f}" if len(history) > 1 else "one epoch only",
            "passed": last < first if len(history) > 1 else None,
        },
        {
            "criterion": "Training accuracy at most 10 points above validation",
            "found": f"{100 * gap:+.1f} points",
            "passed": gap <= 0.10,
        },
    ]
