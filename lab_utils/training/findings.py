"""Notebook 04 in words: what the curves of a training say."""

from collections.abc import Mapping, Sequence
from math import log, sqrt
from statistics import median
from typing import Any, NamedTuple

from torch import nn

from lab_utils import LabError
from lab_utils.training.history import LARGEST_GAP, Epoch, best_of, numbered
from lab_utils.training.loop import Training

Rows = Sequence[tuple[float, float, float, float]]  # of each epoch what the two loops returned
TRAIN_LIMIT = 0.80  # below it a model could learn more: a rule of thumb for about ten classes
LOST = 10.0  # a loss far beyond that of guessing, which is 5.3 among 200 classes


class Verdict(NamedTuple):
    """What two accuracies say of a model."""

    finding: str  # diverged, undertrained, underfitting, balanced or overfitting
    reason: str  # as a sentence


def verdict(train_accuracy: float, history: Sequence[Epoch]) -> Verdict:
    """Whether a model has learned too little or too much of its training images, and why so.

    ``train_accuracy`` must be measured as the validation accuracy of the last epoch was: the same
    weights, evaluation mode, no augmentation.
    """
    last, gap = history[-1], 100 * (train_accuracy - history[-1].val_accuracy)
    falling = len(history) > 1 and last is min(history, key=lambda row: row.val_loss)
    finding, limit = "balanced", f"the {100 * LARGEST_GAP:.0f} points this lab accepts"
    reading = f", within {limit}" if gap >= 0 else ""
    if train_accuracy < TRAIN_LIMIT and max(last.train_loss, last.val_loss) > LOST:
        losses = f"{last.train_loss:.2g} (training) and {last.val_loss:.2g} (validation)"
        finding, reading = "diverged", f"; the losses ended at {losses}, so lower lr first of all"
    elif gap > 100 * LARGEST_GAP:
        finding, reading = "overfitting", f", more than {limit}"
    elif train_accuracy < TRAIN_LIMIT:
        finding = "undertrained" if falling else "underfitting"
        mend = "more capacity or a better learning rate should raise both"
        if falling:
            mend = "validation loss was lowest in the last epoch, so first of all train longer"
        reading = f"; {mend} (rule of thumb: training accuracy below {TRAIN_LIMIT:.0%})"
    apart = f", a gap of {gap:.1f} percentage points"
    if gap < 0:
        apart = f"; validation accuracy is {-gap:.1f} points higher"
    return Verdict(
        finding,
        f"{finding.capitalize()}: the model gets {train_accuracy:.1%} of training images and "
        f"{last.val_accuracy:.1%} of validation images right{apart}{reading}.",
    )


def schedule_effect(history: Sequence[Epoch], rates: Sequence[float]) -> str:
    """What happened once the learning rate had fallen below half its peak, as a sentence or two.

    ``rates`` is the learning rate of every batch of the training that ``history`` records.
    """
    if min(rates) == max(rates):
        return "The learning rate was constant throughout, so there is no effect of it to read."
    steps = len(rates) // len(history)
    means = [sum(rates[i : i + steps]) / steps for i in range(0, len(rates), steps)]
    peak = means.index(max(means))
    late = [i for i, mean in enumerate(means) if i > peak and mean < max(rates) / 2]
    if not late:
        return "No epoch ran mostly below half the peak learning rate: its effect is not visible."
    before, after = history[late[0] - 1], history[-1]
    return (
        f"In the last {len(late)} of {len(history)} epochs the learning rate was below half its "
        f"peak. Meanwhile validation loss went from {before.val_loss:.3f} to {after.val_loss:.3f} "
        f"and validation accuracy from {before.val_accuracy:.1%} to {after.val_accuracy:.1%} "
        f"({100 * (after.val_accuracy - before.val_accuracy):+.1f} points)."
    )


def rates_reading(rates: Sequence[float]) -> str:
    """How the learning rates of all batches are spread, as a sentence."""
    highest = max(rates)
    large = sum(rate > highest / 2 for rate in rates) / len(rates)
    small = sum(rate < highest / 10 for rate in rates) / len(rates)
    return (
        f"Of {len(rates):,} batches {large:.0%} have more than half the largest learning rate, "
        f"{small:.0%} less than a tenth of it."
    )


def loss_reading(history: Sequence[Epoch], classes: int) -> str:
    """Whether the losses fell, and whether validation loss turned, in two sentences."""
    first, last, lowest = history[0], history[-1], min(history, key=lambda row: row.val_loss)
    text = (
        f"Training loss went from {first.train_loss:.3f} to {last.train_loss:.3f}, where guessing "
        f"among {classes} classes gives {log(classes):.3f}. "
    )
    if lowest is last:
        return text + "Validation loss was lowest in the last epoch: it has not turned."
    rise = last.val_loss / lowest.val_loss - 1
    return text + (
        f"Validation loss was lowest in epoch {lowest.epoch} of {last.epoch} and ended {rise:.1%} "
        "above that."
    )


def accuracy_reading(history: Sequence[Epoch], images: int) -> str:
    """How sure the best epoch is the best, by the standard error on so many validation images."""
    best = best_of(list(history))
    error = sqrt(best.val_accuracy * (1 - best.val_accuracy) / images)
    near = sum(row.val_accuracy >= best.val_accuracy - error for row in history) - 1
    others = f"{near} other{'s are' if near > 1 else ' is'}" if near else "No other epoch is"
    return (
        f"Of {len(history)} epochs number {best.epoch} is best, with {best.val_accuracy:.2%} of "
        f"{images:,} validation images right, give or take a standard error of {100 * error:.1f} "
        f"points. {others} within one of it."
    )


def signs(trainings: Mapping[str, Rows]) -> str:
    """What each of four small trainings shows, in the order of the notebook, as a Markdown list."""
    histories = {name: numbered(rows) for name, rows in trainings.items()}
    (usual, told), (tiny, small), (slow, low), (wild, high) = histories.items()
    lowest, end = min(told, key=lambda row: row.val_loss), told[-1]
    rise = end.val_loss / lowest.val_loss - 1
    finding = "overfitting" if rise > 0.1 else "too little to call it overfitting"
    half = small[len(small) // 2].train_loss - small[-1].train_loss
    return f"""\
- {usual}: training loss falls to {end.train_loss:.2f}; validation loss is lowest in epoch
  {lowest.epoch} of {end.epoch} and {rise:.0%} higher at the end: {finding}.
- {tiny}: training loss ends at {small[-1].train_loss:.2f}, validation loss at
  {small[-1].val_loss:.2f}; in the second half of the epochs training loss fell by {half:.2f}.
- {slow}: training loss gets from {low[0].train_loss:.2f} to {low[-1].train_loss:.2f}.
- {wild}: training loss begins at {high[0].train_loss:.2f} and ends at {high[-1].train_loss:.2f}."""


def compared(trainings: Mapping[str, Rows]) -> str:
    """Where two small trainings end, and how low their validation loss got, in two sentences."""
    histories = {name: numbered(rows) for name, rows in trainings.items()}
    parts = [
        f"{name}: training loss ends at {history[-1].train_loss:.2f}, validation loss at "
        f"{history[-1].val_loss:.2f}, after a lowest {lowest.val_loss:.2f} in epoch {lowest.epoch}"
        for name, history in histories.items()
        for lowest in [min(history, key=lambda row: row.val_loss)]
    ]
    (one, first), (other, second) = histories.items()
    gaps = [history[-1].val_loss - history[-1].train_loss for history in (first, second)]
    return (
        f"{'; '.join(parts)}. The gap between the two losses ends at {gaps[0]:+.2f} ({one}) and "
        f"{gaps[1]:+.2f} ({other}). One seed on {first[-1].epoch} epochs is an example, no proof."
    )


def gradients(model: nn.Module) -> list[dict[str, Any]]:
    """Norm and gradient of each array of weights, but biases and norms, as rows of a table."""
    return [
        {"weights": name, "count": p.numel(), "norm": p.norm().item(),
         "gradient": p.grad.norm().item()}
        for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1
    ]  # fmt: skip


def results(training: Training) -> dict[str, Any]:
    """The plain results of a training, by the names that training.json has them.

    Raises LabError for one that has not finished: its results are of no use to anyone.
    """
    if not training.finished:
        raise LabError("This training has not finished; run its cell again, and then this one.")
    history, best, last = training.history, best_of(training.history), training.history[-1]
    return {
        "epochs": len(history),
        "steps": len(history) * training.steps_per_epoch,
        "steps_per_epoch": training.steps_per_epoch,
        "train_seconds": sum(row.seconds for row in history),
        "best_epoch": best.epoch,
        "best_val_accuracy": best.val_accuracy,
        **{f"final_{name}": getattr(last, name) for name in Epoch._fields[1:5]},  # the curves
        "images_per_second": median(row.images_per_second for row in history),
        "precision": training.machine.precision,
        "device": training.machine.device.type,
        "threads": [choice._asdict() for choice in training.choices],
        "threads_reason": training.choices[-1].reason,
        "resumed_from_epoch": training.resumed_from,
    }


def earlier_seconds(training: Training, opened_with: int) -> float:
    """How long other sessions trained, of which one left the notebook so many epochs."""
    return sum(row.seconds for row in training.history[: min(opened_with, training.resumed_from)])


def pace(training: Training) -> str:
    """How fast the epochs were, with how many threads, in a sentence or two."""
    rates = [row.images_per_second for row in training.history]
    used = ", then ".join(str(choice.threads) for choice in training.choices)
    text = (
        f"Training images per second: {min(rates):,.0f} in the slowest epoch, {max(rates):,.0f} in "
        f"the fastest; threads: {used}."
    )
    if len(training.choices) > 1:
        text += " The weights differ by rounding from those of a run whose threads stay the same."
    return text


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 04 as a Markdown list, from what it recorded."""
    return """\
- {epochs} epochs, {steps:,} steps, {train_seconds:.0f} s of training at
  {images_per_second:,.0f} images/s on {device} in {precision}.
- Best validation accuracy: **{best_val_accuracy:.2%}**, in epoch {best_epoch}; final
  validation loss {final_val_loss:.3f}.
- {verdict_reason}""".format_map(record)
