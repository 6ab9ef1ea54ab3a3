"""The images of a run as uint8 tensors, with a validation split held out.

``load`` gives training and validation images. ``load_test`` gives the test images; it is called
only once the model is chosen.
"""

from dataclasses import dataclass
from functools import cached_property
import hashlib
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.core.show import Notice
from lab_utils.data.images import Images
from lab_utils.data.sources import cifar10_found_now, read, resolve_auto


@dataclass(frozen=True)
class Split:
    """``images`` (N, 3, H, W) uint8 and ``targets`` (N,) int64 class indices."""

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class Normalization(NamedTuple):
    """Mean and standard deviation of each channel, as fractions of 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """Training and validation images with what is known of them.

    ``warning`` is empty for the data that was asked for; else it tells every reader what is used
    instead. ``unreadable`` names the files that could not be decoded.
    """

    name: str
    title: str
    source: str
    licence: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    fingerprint: str
    warning: str = ""
    unreadable: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the data, without the images."""
        left_out = ("train", "val", "normalization")
        return {name: value for name, value in vars(self).items() if name not in left_out}

    @cached_property
    def normalization(self) -> Normalization:
        """Over every pixel of the training images."""
        return channel_statistics(self.train.images)


_ABOUT = {  # title, source, licence
    "cifar10": (
        "CIFAR-10",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        "none stated; the author asks to cite the 2009 report",
    ),
    "shapes": ("Shapes", "drawn by the lab (lab_utils/data/shapes.py)", "MIT, as the lab"),
    "folder": ("Image folder", "files of this machine", "as the images' owner says"),
}


def load(run: Run) -> Dataset:
    """The run's training and validation images; records in the run that its step used them.

    Raises LabError where they cannot be had, are damaged, or are not what earlier steps used.
    """
    settings = run.settings
    name, warning = settings.data, ""
    if name == "auto":
        seen = [entry["data"] for entry in run.manifest.values() if "data" in entry]
        name, why = (seen[0]["name"], "") if seen else resolve_auto()
        if name != "cifar10":
            why = why or cifar10_found_now(run) or "CIFAR-10 was not at hand when this run began."
            warning = f"This run does NOT use CIFAR-10 but the embedded data set 'shapes'. {why}"
    found = read(name, "train", settings)
    digest = hashlib.sha256(found.pixels)  # reads the array in place: bytes would be a copy
    digest.update(found.targets)
    fingerprint = digest.hexdigest()[:16]
    run.use_data(name, fingerprint)

    chosen = _subset(found.targets, settings.train_size, settings.seed)
    train, val = (_split(found, part) for part in _hold_out(chosen, found.targets, settings))
    return Dataset(
        name, *_ABOUT[name], found.classes, train, val, fingerprint, warning, found.unreadable
    )


def load_test(run: Run, dataset: Dataset) -> Split:
    """The test images that go with ``dataset``, ``test_size`` of them or all."""
    found = read(dataset.name, "test", run.settings)
    return _split(found, _subset(found.targets, run.settings.test_size, run.settings.seed))


def channel_statistics(images: Tensor) -> Normalization:
    """Mean and standard deviation per channel of (N, 3, H, W) uint8 images."""
    # Counting the 256 values gives exact sums; a float32 sum over 10^8 pixels would not.
    counts = torch.stack([x.flatten().bincount(minlength=256) for x in images.unbind(1)])
    shares = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    means = (shares * values).sum(1)
    stds = (shares * (values - means[:, None]) ** 2).sum(1).sqrt()
    return Normalization(tuple(means.tolist()), tuple(stds.tolist()))


def _split(found: Images, indices: np.ndarray) -> Split:
    return Split(torch.from_numpy(found.pixels[indices]), torch.from_numpy(found.targets[indices]))


def _hold_out(chosen: np.ndarray, targets: np.ndarray, settings: Settings) -> list[np.ndarray]:
    """The indices ``chosen``, divided into training and validation, classes in proportion.

    With ``folds`` each of the k runs that differ in ``fold`` alone holds out another part.
    """
    if not settings.folds:
        return _divided(chosen, targets, settings.seed, test_size=settings.val_fraction)
    rarest = np.unique(targets[chosen], return_counts=True)[1].min()
    if settings.folds > rarest:
        raise LabError(
            f"folds={settings.folds} needs as many images of each class, and one class has "
            f"{rarest}; use fewer folds."
        )
    folds = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    parts = list(folds.split(chosen, targets[chosen]))[settings.fold]
    return [chosen[part] for part in parts]


def _subset(targets: np.ndarray, size: int | None, seed: int) -> np.ndarray:
    """Indices of ``size`` targets, classes in proportion; all of them for None."""
    everything = np.arange(len(targets))
    if size is None or size == len(targets):
        return everything
    if size > len(targets):
        raise LabError(f"{size:,} images were asked for and the split has {len(targets):,}.")
    return np.sort(_divided(everything, targets, seed, train_size=size)[0])


def _divided(indices: np.ndarray, targets: np.ndarray, seed: int, **size: float) -> list:
    """``indices`` in two parts, each class of ``targets`` in proportion; ``size`` is of one."""
    labels = targets[indices]
    try:
        return train_test_split(indices, stratify=labels, random_state=seed, **size)
    except ValueError:  # scikit-learn needs an image of each class on both sides
        value, classes = next(iter(size.values())), len(np.unique(labels))
        raise LabError(
            f"{value:,} of {len(indices):,} images cannot be chosen in proportion to {classes} "
            f"classes; use at least {classes} and leave out as many, or use all."
        ) from None


def banner(run: Run, dataset: Dataset) -> Notice:
    """Which run and which data this is; loud where the data is not what was hoped for."""
    text = (
        f"Run {run.name!r}: {dataset.title}, {len(dataset.train):,} training and "
        f"{len(dataset.val):,} validation images, {len(dataset.classes)} classes; "
        f"model {run.settings.model}, seed {run.settings.seed}."
    )
    if dataset.unreadable:
        shown = ", ".join(dataset.unreadable[:5]) + (", …" if len(dataset.unreadable) > 5 else "")
        text += f" {len(dataset.unreadable)} unreadable files were left out: {shown}."
    return Notice(text, dataset.warning)
