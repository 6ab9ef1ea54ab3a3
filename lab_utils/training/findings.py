"""Notebook 04 in words: why each hyperparameter has its value, and what the curves say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Any, NamedTuple

from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset
from lab_utils.setup.hardware import Machine
from lab_utils.training.history import Epoch, best_of
from lab_utils.training.loop import Training

# Above this gap (training minus validation accuracy) the model has learned its images by heart.
# Below this training accuracy it could learn more of them: a rule of thumb for about ten classes.
GAP_LIMIT = 0.10
TRAIN_LIMIT = 0.80
# The settings that every training has, and those that are listed where they are on. The others
# belong to one of these and are told with it.
_ALWAYS = ("optimizer", "lr", "schedule", "batch_size", "epochs", "val_fraction", "seed")
_WHERE_ON = (
    "bias_lr", "muon_lr", "weight_decay", "warmup_epochs", "accumulate", "patience", "clip_norm",
    "ema_decay", "label_smoothing", "batch_norm_momentum", "mixup", "cutmix",
)  # fmt: skip
_AUGMENTATION = (
    "flip", "alternate_flip", "crop_padding", "crop_fill", "cutout", "rotation", "color_jitter",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A hyperparameter as a table shows it."""

    name: str
    value: str
    reason: str


def hyperparameters(
    settings: Settings, dataset: Dataset, machine: Machine, batches_per_epoch: int
) -> list[Choice]:
    """Everything that decides how the training goes, with the reason for its value."""
    steps = -(-batches_per_epoch // settings.accumulate)
    error = 100 * 0.5 / sqrt(len(dataset.val))
    numbers = {  # what a value means for these data
        "batch_size": f"{steps:,} steps an epoch. ",
        "epochs": f"{settings.epochs * steps:,} steps in all. ",
        "val_fraction": f"{len(dataset.val):,} images; accuracy on them has a standard error of at "
        f"most {error:.1f} points. ",
    }
    usual = {name: field.default for name, field in Settings.model_fields.items()}
    on = [name for name in _WHERE_ON if getattr(settings, name) != usual[name]]
    values = {name: _plain(value) for name, value in settings if name in (*_ALWAYS, *on)}
    rows = [
        Choice(name, value, numbers.get(name, "") + settings.explain(name))
        for name, value in values.items()
    ]
    if settings.folds:
        fold = f"{settings.fold} of 0 to {settings.folds - 1}"
        rows.append(Choice("fold", fold, settings.explain("fold")))
    used = _augmentation(settings)
    seen = "The model sees each image in many variants that keep its class, so it is harder to "
    same = "Every epoch shows the same pixels."
    return [
        *rows,
        Choice("augmentation", ", ".join(used) or "none",
               seen + "learn by heart." if used else same),
        Choice("precision", machine.precision, f"Of matrix products: {machine.precision_reason}."),
    ]  # fmt: skip


def _augmentation(settings: Settings) -> list[str]:
    """The settings of the augmentation that are on, with their values."""
    on = [(name, getattr(settings, name)) for name in _AUGMENTATION]
    return [f"{name} {_plain(x)}" for name, x in on if x not in (False, 0, "zero", (0, 0, 0, 0))]


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


class Verdict(NamedTuple):
    """What two accuracies say of a model."""

    finding: str  # underfitting, balanced or overfitting
    reason: str  # as a sentence


def verdict(train_accuracy: float, val_accuracy: float) -> Verdict:
    """Whether a model has learned too little or too much of its training images, and why so.

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
        return Verdict("overfitting", f"Overfitting: {numbers}, more than {accepted}.")
    if train_accuracy < TRAIN_LIMIT:
        return Verdict(
            "underfitting",
            f"Underfitting: {numbers}; more epochs, more capacity or a better learning rate "
            f"should raise both (rule of thumb: training accuracy below {TRAIN_LIMIT:.0%}).",
        )
    return Verdict("balanced", f"Balanced: {numbers}{f', within {accepted}' if gap >= 0 else ''}.")


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
        return (
            "No epoch ran mostly below half the peak learning rate, so its effect is not visible."
        )
    before, after = history[late[0] - 1], history[-1]
    gain = after.val_accuracy - before.val_accuracy
    span = "the last epoch" if len(late) == 1 else f"the last {len(late)} epochs"
    return (
        f"In {span} of {len(history)} the learning rate was below half its peak. Meanwhile "
        f"validation loss went from {before.val_loss:.3f} to {after.val_loss:.3f} and "
        f"validation accuracy from {before.val_accuracy:.1%} to {after.val_accuracy:.1%} "
        f"({100 * gain:+.1f} points)."
    )


def while_training(training: Training) -> str:
    """What was on while training accuracy was measured: ``with dropout and augmentation``."""
    s = training.settings
    modules = training.model.modules()
    dropout = any(getattr(m, "p", 0) for m in modules if "Dropout" in type(m).__name__)
    augmented = any(getattr(s, name) for name in ("mixup", "cutmix")) or bool(_augmentation(s))
    present = [word for word, on in (("dropout", dropout), ("augmentation", augmented)) if on]
    return "with " + " and ".join(present) if present else "while the weights changed"


def results(training: Training, resumed_from: int) -> dict[str, Any]:
    """The plain results of a finished training, by the names that training.json has them."""
    history, settings = training.history, training.settings
    steps = -(-len(training.batches) // settings.accumulate)
    best, last = best_of(history), history[-1]._asdict()
    return {
        "epochs": len(history),
        "steps": len(history) * steps,
        "steps_per_epoch": steps,
        "train_seconds": sum(row.seconds for row in history),
        "best_epoch": best.epoch,
        "best_val_accuracy": best.val_accuracy,
        **{f"final_{key}": last[key] for key in last if key.startswith(("train_", "val_"))},
        "images_per_second": median(row.images_per_second for row in history),
        "precision": training.machine.precision,
        "device": training.machine.device.type,
        "resumed_from_epoch": resumed_from,
    }


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 04 as a Markdown list, from what it recorded."""
    r = record
    ways = {name: 1000 * r["profile"][name].seconds for name in ("lab", "course")}
    return (
        f"- {r['epochs']} epochs, {r['steps']:,} steps, {r['train_seconds']:.0f} s of training at "
        f"{r['images_per_second']:,.0f} images/s on {r['device']} in {r['precision']}.\n"
        f"- Best validation accuracy: **{r['best_val_accuracy']:.2%}**, in epoch "
        f"{r['best_epoch']}; final validation loss {r['final_val_loss']:.3f}.\n"
        f"- {r['verdict_reason']}\n"
        f"- A step takes {ways['lab']:.0f} ms, the course's way {ways['course']:.0f} ms."
    )
