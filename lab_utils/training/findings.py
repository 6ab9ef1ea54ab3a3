"""Notebook 04 in words: why each hyperparameter has its value, and what the curves say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Any, NamedTuple

from lab_utils.training.history import LARGEST_GAP, Epoch, best_of
from lab_utils.training.loop import Training

TRAIN_LIMIT = 0.80  # below it a model could learn more: a rule of thumb for about ten classes
# The settings that every training has, and those that are listed where they are on. The others
# belong to one of these and are told with it.
_ALWAYS = (
    "optimizer", "lr", "schedule", "batch_size", "epochs", "val_fraction", "seed", "precision",
)  # fmt: skip
_AUGMENTATION = ("flip", "alternate_flip", "crop_padding", "cutout", "rotation", "color_jitter")
_WHERE_ON = (
    "folds", "fold", "bias_lr", "muon_lr", "weight_decay", "warmup_epochs", "accumulate",
    "patience", "clip_norm", "ema_decay", "label_smoothing", "batch_norm_momentum", "mixup",
    "cutmix", *_AUGMENTATION,
)  # fmt: skip
_OFF = {"accumulate": 1, "color_jitter": (0, 0, 0, 0)}  # of the others it is None, 0 or False


@dataclass(frozen=True)
class Choice:
    """A hyperparameter as a table shows it."""

    name: str
    value: str
    reason: str


def hyperparameters(training: Training) -> list[Choice]:
    """Everything that decides how ``training`` goes, with the reason for its value."""
    settings, held_out = training.settings, len(training.dataset.val)
    steps = training.steps_per_epoch
    numbers = {  # what a value means for these data, on this machine
        "batch_size": f"{steps:,} steps an epoch. ",
        "epochs": f"{settings.epochs * steps:,} steps in all. ",
        "val_fraction": f"{held_out:,} images; accuracy on them has a standard error of at most "
        f"{100 * 0.5 / sqrt(held_out):.1f} points. ",
        "precision": f"{training.machine.precision}: {training.machine.precision_reason}. ",
    }
    on = [name for name in _WHERE_ON if getattr(settings, name) not in (None, _OFF.get(name, 0))]
    return [
        Choice(name, _plain(value), numbers.get(name, "") + settings.explain(name))
        for name, value in settings
        if name in (*_ALWAYS, *on)
    ]


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def while_training(training: Training) -> str:
    """What was on while training accuracy was measured: ``with dropout and augmentation``."""
    names = {choice.name for choice in hyperparameters(training)}
    dropout = any("Dropout" in type(m).__name__ and m.p for m in training.model.modules())
    augmented = bool(names & {*_AUGMENTATION, "mixup", "cutmix"})
    present = ["dropout"] * dropout + ["augmentation"] * augmented
    return "with " + " and ".join(present) if present else "while the weights changed"


class Verdict(NamedTuple):
    """What two accuracies say of a model."""

    finding: str  # underfitting, balanced or overfitting
    reason: str  # as a sentence


def verdict(train_accuracy: float, val_accuracy: float) -> Verdict:
    """Whether a model has learned too little or too much of its training images, and why so.

    Both accuracies must be measured alike: the same weights, evaluation mode, no augmentation.
    """
    gap = 100 * (train_accuracy - val_accuracy)
    finding, limit = "balanced", f"the {100 * LARGEST_GAP:.0f} points this lab accepts"
    reading = f", within {limit}" if gap >= 0 else ""
    if gap > 100 * LARGEST_GAP:
        finding, reading = "overfitting", f", more than {limit}"
    elif train_accuracy < TRAIN_LIMIT:
        finding = "underfitting"
        reading = (
            "; more epochs, more capacity or a better learning rate should raise both (rule of "
            f"thumb: training accuracy below {TRAIN_LIMIT:.0%})"
        )
    apart = f", a gap of {gap:.1f} percentage points"
    if gap < 0:
        apart = f"; validation accuracy is {-gap:.1f} points higher"
    return Verdict(
        finding,
        f"{finding.capitalize()}: the model gets {train_accuracy:.1%} of training images and "
        f"{val_accuracy:.1%} of validation images right{apart}{reading}.",
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


def signs(usual: Sequence[Epoch], slow: Sequence[Epoch], wild: Sequence[Epoch]) -> str:
    """What trainings with a usual, too small and too large a learning rate show, a line for two."""
    lowest, last, end = min(usual, key=lambda row: row.val_loss), usual[-1], slow[-1]
    rise = last.val_loss / lowest.val_loss - 1
    reading = "overfitting" if rise > 0.1 else "too little to call it overfitting"
    return (
        f"With the learning rate {last.lr:g} training loss falls to {last.train_loss:.2f}; "
        f"validation loss is lowest in epoch {lowest.epoch} of {last.epoch} and "
        f"{rise:.0%} higher at the end: {reading}.\n"
        f"With {end.lr:g} training loss gets from {slow[0].train_loss:.2f} to {end.train_loss:.2f} "
        f"and validation loss to {end.val_loss:.2f}; with {wild[-1].lr:g} training loss begins at "
        f"{wild[0].train_loss:.2f} and ends at {wild[-1].train_loss:.2f}."
    )


def results(training: Training, resumed_from: int) -> dict[str, Any]:
    """The plain results of a finished training, by the names that training.json has them."""
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
        "resumed_from_epoch": resumed_from,
    }


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
    r = record
    return f"""\
- {r["epochs"]} epochs, {r["steps"]:,} steps, {r["train_seconds"]:.0f} s of training at
  {r["images_per_second"]:,.0f} images/s on {r["device"]} in {r["precision"]}.
- Best validation accuracy: **{r["best_val_accuracy"]:.2%}**, in epoch {r["best_epoch"]}; final
  validation loss {r["final_val_loss"]:.3f}.
- {r["verdict_reason"]}"""
