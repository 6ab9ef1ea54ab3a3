"""Notebook 04 in words: why each hyperparameter has its value, and what the curves say."""

from math import sqrt

from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset
from lab_utils.setup.hardware import Machine
from lab_utils.training import reasons
from lab_utils.training.history import Row

# Above this gap (train minus validation accuracy) the model has learned its images by heart. Below
# this training accuracy it could learn more of them: a rule of thumb for about ten classes.
GAP_LIMIT = 0.10


TRAIN_LIMIT = 0.80


def hyperparameters(
    settings: Settings, dataset: Dataset, machine: Machine, batches_per_epoch: int
) -> list[dict[str, str]]:
    """``name``, ``value`` and ``reason`` of everything that decides how the training goes."""
    s, steps = settings, -(-batches_per_epoch // settings.accumulate)
    smoothing = (
        f"Each target keeps {1 - s.label_smoothing:.0%} and shares the rest among all classes, "
        "which holds back overconfident predictions; the curves show the plain cross-entropy."
        if s.label_smoothing
        else "Off: the loss that is minimised is the plain cross-entropy that the curves show."
    )
    decay = (
        "Pulls every weight towards zero at each step, so that none grows without need."
        if s.weight_decay
        else "Off: the recipe leaves overfitting to augmentation and dropout."
    )
    length = (
        "Enough to see it learn within a lesson; more would raise the accuracy further."
        if s.epochs <= 10
        else "Enough for the validation curve to level off."
    )
    error = 0.5 / sqrt(len(dataset.val))
    rows = [
        (
            "loss",
            "cross-entropy",
            "The negative natural logarithm of the probability given to the true class: large when "
            "the model is sure and wrong, and smooth enough to differentiate.",
        ),
        ("label_smoothing", f"{s.label_smoothing:g}", smoothing),
        ("optimizer", s.optimizer, reasons.optimizer(s)),
        ("lr", f"{s.lr:g}", reasons.learning_rate(s)),
        *reasons.of_its_own(s),
        ("schedule", s.schedule, reasons.schedule(s)),
        (
            "batch_size",
            f"{s.batch_size}",
            f"{steps:,} steps an epoch. A larger batch keeps the hardware busier and its gradient "
            "is less noisy, but an epoch has fewer steps.",
        ),
        (
            "epochs",
            f"{s.epochs}",
            f"{s.epochs * steps:,} steps {'at most' if s.patience else 'in all'}. {length}",
        ),
        ("weight_decay", f"{s.weight_decay:g}", decay),
        (
            "augmentation",
            reasons.augmentation(s),
            "The model sees each image in many variants that keep its class, so it is harder to "
            "learn by heart."
            if reasons.augmentation(s) != "none"
            else "Off: every epoch shows the same pixels.",
        ),
        *reasons.mixing(s),
        (
            "fold" if s.folds else "val_fraction",
            f"{s.fold} of 0 to {s.folds - 1}" if s.folds else f"{s.val_fraction:g}",
            f"{len(dataset.val):,} images are held out to choose the best epoch; accuracy on them "
            f"has a standard error of at most {100 * error:.1f} points."
            + (" The other folds hold out the others, each image once." if s.folds else ""),
        ),
        (
            "seed",
            f"{s.seed}",
            "Fixes the initial weights, the order of the images, their augmentation and dropout: "
            "the same seed gives the same run on the same machine.",
        ),
        ("precision", machine.precision, f"Of the matrix products: {machine.precision_reason}."),
    ]
    return [{"name": name, "value": value, "reason": reason} for name, value, reason in rows]


def verdict(train_accuracy: float, val_accuracy: float) -> tuple[str, str]:
    """``underfitting``, ``balanced`` or ``overfitting``, and the reason as a sentence.

    Both accuracies must be measured alike: the same weights, evaluation mode, no augmentation.
    """
    gap = train_accuracy - val_accuracy
    numbers = (
        f"the model gets {train_accuracy:.1%} of training images and {val_accuracy:.1%} of "
        "validation images right"
    )
    if gap < 0:
        numbers += f"; validation accuracy is {-100 * gap:.1f} points higher"
    else:
        numbers += f", a gap of {100 * gap:.1f} percentage points"
    accepted = f"the {100 * GAP_LIMIT:.0f} points this lab accepts"
    if gap > GAP_LIMIT:
        return "overfitting", f"Overfitting: {numbers}, more than {accepted}."
    if train_accuracy < TRAIN_LIMIT:
        return (
            "underfitting",
            f"Underfitting: {numbers}; more epochs, more capacity or a better learning rate "
            f"should raise both (rule of thumb: training accuracy below {TRAIN_LIMIT:.0%}).",
        )
    if gap < 0:
        return "balanced", f"Balanced: {numbers}."
    return "balanced", f"Balanced: {numbers}, within {accepted}."


def schedule_effect(history: list[Row], rates: list[float]) -> str:
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
        return (
            "No epoch ran mostly below half the peak learning rate, so its effect is not visible."
        )
    before, after = history[late[0] - 1], history[-1]
    gain = after["val_accuracy"] - before["val_accuracy"]
    span = "the last epoch" if len(late) == 1 else f"the last {len(late)} epochs"
    return (
        f"In {span} of {len(history)} the learning rate was below half its peak. Meanwhile "
        f"validation loss went from {before['val_loss']:.3f} to {after['val_loss']:.3f} and "
        f"validation accuracy from {before['val_accuracy']:.1%} to {after['val_accuracy']:.1%} "
        f"({100 * gain:+.1f} points)."
    )
