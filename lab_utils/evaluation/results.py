"""What notebook 05 records, by the names of metrics.json and evaluation.json, and its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lab_utils.core.records import Training, read
from lab_utils.core.run import Run
from lab_utils.data.dataset import Dataset, Split
from lab_utils.evaluation import metrics
from lab_utils.evaluation.calibration import Scaled
from lab_utils.evaluation.criteria import Criterion, success_criteria
from lab_utils.evaluation.judge import Judge
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.evaluation.predictions import mean_probabilities
from lab_utils.model.predict import accuracy
from lab_utils.model.summary import count_flops, count_parameters
from lab_utils.training.history import Epoch

WORDS = {True: "pass", False: "FAIL", None: "not measured"}
_OF_THE_TRAINING = (
    "best_epoch", "epochs", "train_seconds", "images_per_second", "precision", "device",
)  # fmt: skip


def measured(logits: ArrayLike, targets: ArrayLike, classes: Sequence[str]) -> dict[str, Any]:
    """``summarize``, and the rows of the tables and figures, of (N, K) logits and (N,) targets."""
    counts = metrics.confusion(logits, targets)
    return metrics.summarize(logits, targets) | {
        "per_class": metrics.per_class(logits, targets, classes),
        "confusion": counts,
        "confused_pairs": metrics.confused_pairs(counts, classes),
        "reliability": metrics.reliability(logits, targets),
    }


def temperatures(ours: Scaled, by_heart: Scaled) -> dict[str, Any]:
    """What a temperature did to the run's network, and to one that is overconfident."""
    images = sum(b.count for b in by_heart.before)
    mean = {
        name: sum(b.count * getattr(b, name) for b in by_heart.before if b.count) / images
        for name in ("accuracy", "confidence")
    }
    return {
        "temperature": ours.temperature,
        "test_loss_scaled": ours.loss_after,
        "test_loss_change_low": ours.change_low,
        "test_loss_change_high": ours.change_high,
        "ece_scaled": ours.ece_after,
        "reliability_scaled": ours.after,
        **{f"overconfident_{name}": value for name, value in mean.items()},
        "overconfident_temperature": by_heart.temperature,
        "overconfident_loss": by_heart.loss_before,
        "overconfident_loss_scaled": by_heart.loss_after,
        "overconfident_ece": by_heart.ece_before,
        "overconfident_ece_scaled": by_heart.ece_after,
    }


def criteria(
    history: Sequence[Epoch], train_accuracy: float, val_accuracy: float
) -> dict[str, Any]:
    """``success_criteria`` with the accuracies, both of the same weights in evaluation mode."""
    return {
        "criteria": success_criteria(history, train_accuracy, val_accuracy),
        "train_accuracy": train_accuracy,
        "train_val_gap": train_accuracy - val_accuracy,
    }


def ensemble(members: Mapping[int, ArrayLike], targets: ArrayLike) -> dict[str, Any]:
    """The figures of the mean of the members' probabilities; None of a member alone.

    ``members`` are (N, K) logits by seed.
    """
    if len(members) < 2:
        return {"ensemble_seeds": 1, "ensemble_accuracy": None}
    together = metrics.summarize(mean_probabilities(members.values()), targets)
    count, share = len(members), together["test_accuracy"]
    return {"ensemble": together, "ensemble_seeds": count, "ensemble_accuracy": share}


def facts(run: Run, dataset: Dataset, judge: Judge, test: Split, chosen: Epoch) -> dict[str, Any]:
    """What a table of runs needs beside the figures; ``chosen`` is the epoch of the weights.

    With test-time augmentation also what one view of each of the ``test`` images scores.
    """
    settings, training = run.settings, read(run, Training)
    one_view = run.recorded["test_accuracy"]
    if settings.tta != "none":
        one_view = accuracy(judge.one_view(test), test.targets)
    return {
        "tta": settings.tta, "test_accuracy_one_view": one_view,
        "val_accuracy": chosen.val_accuracy, "val_loss": chosen.val_loss,
        "val_images": len(dataset.val), "parameters": count_parameters(judge.network),
        "flops": count_flops(judge.network, test.images.shape[-1]), "model": settings.model,
        "experiment": settings.experiment, "seed": settings.seed, "data": dataset.name,
        "data_is_cifar10": dataset.name == "cifar10",
        **{key: getattr(training, key) for key in _OF_THE_TRAINING},
    }  # fmt: skip


def intervals(samples: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Shares, each (right, total), with their intervals."""
    return [
        {"right": k, "images": n, "accuracy": k / n}
        | dict(zip(("low", "high"), wilson_interval(k, n), strict=True))
        for k, n in samples
    ]


def both_ways(counts: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent errors of a matrix, each with the same mistake the other way round."""
    place = {name: i for i, name in enumerate(classes)}
    return [
        vars(pair) | {"the other way": int(counts[place[pair.predicted], place[pair.true]])}
        for pair in metrics.confused_pairs(counts, classes)
    ]


def cells(counts: np.ndarray, classes: Sequence[str]) -> dict[str, tuple[list[str], str]]:
    """The choices of a cell for ``interactive``: at first the most frequent error, if any."""
    rows, names = both_ways(counts, classes), list(classes)
    return {key: (names, rows[0][key] if rows else names[0]) for key in ("true", "predicted")}


def together(members: Mapping[int, ArrayLike], targets: ArrayLike) -> list[dict[str, Any]]:
    """The figures of the ``members``, logits by seed, and of the mean of their probabilities."""
    models = {f"seed {seed}": logits for seed, logits in members.items()}
    if len(members) > 1:
        models[f"all {len(members)} together"] = mean_probabilities(members.values())
    columns = {
        "accuracy": "test_accuracy", "low": "test_accuracy_low", "high": "test_accuracy_high",
        "loss": "test_loss", "ECE": "ece",
    }  # fmt: skip
    figures = {name: metrics.summarize(logits, targets) for name, logits in models.items()}
    return [
        {"model": name} | {head: row[key] for head, key in columns.items()}
        for name, row in figures.items()
    ]


def judged(criteria: Sequence[Criterion]) -> list[dict[str, str]]:
    """The criteria, with words for whether they are met."""
    return [vars(row) | {"passed": WORDS[row.passed]} for row in criteria]
