"""Why each hyperparameter of a training has its value, and the images of a small training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import torch

from lab_utils.data.dataset import Dataset, Split
from lab_utils.training.loop import Training

# The settings that every training has, and those that are listed where they are on. The others
# belong to one of these and are told with it.
_ALWAYS = (
    "optimizer", "lr", "schedule", "batch_size", "epochs", "val_fraction", "seed", "precision",
)  # fmt: skip
_AUGMENTATION = ("flip", "alternate_flip", "crop_padding", "cutout", "rotation", "color_jitter")
_WHERE_ON = (
    "folds", "fold", "bias_lr", "muon_lr", "weight_decay", "warmup_epochs", "accumulate",
    "patience", "clip_norm", "ema_decay", "label_smoothing", "batch_norm_momentum", "mixup",
    "cutmix", "train_sides", *_AUGMENTATION,
)  # fmt: skip
# Of the others it is None, 0 or False.
_OFF = {"accumulate": 1, "color_jitter": (0, 0, 0, 0), "train_sides": ()}


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


def thin(split: Split, most: int) -> Split:
    """At most ``most`` images at equal distances through ``split``, about 32 pixels a side."""
    every, pixels = -(-len(split) // most), max(1, split.images.shape[-1] // 32)
    return Split(split.images[::every, :, ::pixels, ::pixels], split.targets[::every])


def few_images(dataset: Dataset, train: int, val: int) -> Dataset:
    """``dataset`` with so many images at the most, as ``thin`` takes them."""
    return replace(dataset, train=thin(dataset.train, train), val=thin(dataset.val, val))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let one thread compute meanwhile: a few images keep no more busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
