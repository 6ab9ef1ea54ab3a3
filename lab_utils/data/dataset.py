"""The images of a run as uint8 tensors, with a validation split held out."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
import hashlib
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.run import BUILT_ON, Run
from lab_utils.core.settings import Settings
from lab_utils.core.show import Notice
from lab_utils.data.images import Images
from lab_utils.data.sources import cifar10_found_now, read, resolve_auto
from lab_utils.setup.threads import use_threads_of


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

    ``warning`` tells what is used instead of the data that was hoped for; ``unreadable`` names the
    files that could not be decoded. Both may be empty.
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
        images = ("train", "val", "normalization")
        return {name: value for name, value in vars(self).items() if name not in images}

    @cached_property
    def normalization(self) -> Normalization:
        """Over every pixel of the training images."""
        return channel_statistics(self.train.images)


_ABOUT = {  # title, source, licence
    "cifar10": (
        "CIFAR-10", "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        "none stated; the author asks to cite the 2009 report",
    ),
    "shapes": ("Shapes", "drawn by the lab (lab_utils/data/shapes.py)", "MIT, as the lab"),
    "folder": ("Image folder", "files of this machine", "as the images' owner says"),
}  # fmt: skip


def load(run: Run) -> Dataset:
    """The run's training and validation images; records in the run that its step used them.

    From here on PyTorch computes with as many threads as the run does (``use_threads_of``).
    Raises LabError where they cannot be had, are damaged, or are not what earlier steps used.
    """
    use_threads_of(run)
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

    parts = (_split(found, part) for part in _hold_out(found.targets, settings))
    facts = fingerprint, warning, found.unreadable
    return Dataset(name, *_ABOUT[name], found.classes, *parts, *facts)


def load_test(run: Run, dataset: Dataset, purpose: str) -> Split:
    """The test images that go with ``dataset``, as ``open_test`` opens them."""
    found = open_test(run, dataset.name, purpose)
    return _split(found, _subset(found.targets, run.settings.test_size, run.settings.seed))


def open_test(run: Run, name: str, purpose: str) -> Images:
    """The test split of the data set ``name``, decoded; nothing else opens one.

    The manifest notes at ``04_training``, whose model it judges, by which step it was opened, when
    and what for. Raises LabError where no training is finished, and in 01 to 04 even then.
    """
    if run.step in BUILT_ON and not BUILT_ON[run.step]:
        instead = "the validation images, dataset.val, are there to choose by"
        raise LabError(f"{run.step} may not open the test split; {instead}.")
    run.require("04_training")
    manifest, now = run.manifest, datetime.now().astimezone().isoformat(timespec="seconds")
    opened = manifest["04_training"].setdefault("test_split_opened", [])
    opened.append({"by": run.step, "at": now, "for": purpose})
    write_json(run.file("manifest.json"), manifest)
    return read(name, "test", run.settings)


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


def _hold_out(targets: np.ndarray, settings: Settings) -> list[np.ndarray]:
    """Indices of ``train_size`` targets in two parts, training and validation.

    Each has the classes in proportion. With ``folds`` each of the k runs that differ in ``fold``
    alone holds out another part.
    """
    chosen, folds = _subset(targets, settings.train_size, settings.seed), settings.folds
    if not folds:
        return _divided(chosen, targets, settings.seed, test_size=settings.val_fraction)
    rarest = np.unique(targets[chosen], return_counts=True)[1].min()
    if folds > rarest:
        needs = f"folds={folds} needs as many images of each class"
        raise LabError(f"{needs}, and one class has {rarest}; use fewer folds.")
    divider = StratifiedKFold(folds, shuffle=True, random_state=settings.seed)
    return [chosen[part] for part in list(divider.split(chosen, targets[chosen]))[settings.fold]]


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
        (value,), classes = size.values(), f"{len(np.unique(labels))} classes"
        problem = f"{value:,} of {len(indices):,} images cannot be in proportion to {classes}"
        raise LabError(f"{problem}; choose and leave out as many at least, or use all.") from None


def banner(run: Run, dataset: Dataset) -> Notice:
    """Which run and which data this is; loud where the data is not what was hoped for."""
    last = ", the one opened last" if run.opened_last else ""
    text = (
        f"Run {run.name!r}{last}: {dataset.title}, {len(dataset.train):,} training and "
        f"{len(dataset.val):,} validation images, {len(dataset.classes)} classes; "
        f"model {run.settings.model}, seed {run.settings.seed}."
    )
    if names := dataset.unreadable:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        text += f" {len(names)} unreadable files were left out: {shown}."
    return Notice(text, dataset.warning)
