"""Where images come from: CIFAR-10, the embedded shapes, or a folder; each decoded to uint8 arrays.

``read(name, split, settings)`` gives an ``Images``. Nothing here knows of validation or training.
"""

from contextlib import suppress
from functools import lru_cache
import hashlib
from pathlib import Path
import zipfile

import numpy as np

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.params import project_root
from lab_utils.core.settings import Settings
from lab_utils.data import shapes
from lab_utils.data.cifar10 import _CIFAR_FOLDER, _cifar10, _places, cifar10_folder
from lab_utils.data.folder import _SUFFIXES, _folder, _root
from lab_utils.data.images import Images

_SHAPES = {"train": (10_000, 0), "test": (2_000, 1)}  # count, seed


def read(name: str, split: str, settings: Settings) -> Images:
    """The ``split`` ("train" or "test") of the data set ``name``, decoded.

    Raises LabError where it cannot be had, is damaged, or has an empty class.
    """
    if name == "cifar10":
        return _cifar10(split)
    if name == "shapes":
        return _shapes(split)
    return _folder(split, settings)


def outlook(settings: Settings) -> tuple[str, int]:
    """Where the training images will come from, and how many there are; nothing is read for it."""
    if settings.data == "folder":
        files = (_root(settings) / "train").rglob("*")
        found = sum(path.suffix.lower() in _SUFFIXES for path in files)
        return "the image files of data_folder", settings.train_size or found
    if settings.data == "shapes":
        return "the lab itself, which draws them", settings.train_size or _SHAPES["train"][0]
    *given, own = _places()
    if any((place / _CIFAR_FOLDER).is_dir() for place in given):
        where = "the folder that LAB_DATA_DIR names"
    elif (own / _CIFAR_FOLDER).is_dir():
        where = "the project's folder data/"
    else:
        where = "a download of 170 MB, once, into the project's folder data/"
        if settings.data == "auto":
            where += "; without a network the lab draws images of its own, 'shapes'"
    return where, settings.train_size or 50_000


def resolve_auto() -> tuple[str, str]:
    """What ``data: auto`` means here: ``("cifar10", "")``, or ``("shapes", why)``.

    Files that are there but damaged are an error: a damaged CIFAR-10 must not pass for none.
    """
    try:
        cifar10_folder()
    except FileNotFoundError as error:
        return "shapes", str(error)
    return "cifar10", ""


@lru_cache(maxsize=2)
def _shapes(split: str) -> Images:
    """The embedded data set; drawn once, then kept in ``data/`` where that can be written."""
    count, seed = _SHAPES[split]
    drawing = hashlib.sha256(Path(shapes.__file__).read_bytes()).hexdigest()[:8]
    cache = project_root() / "data" / f"shapes-{drawing}-{split}.npz"
    try:
        with np.load(cache) as stored:
            pixels, targets = stored["pixels"], stored["targets"]
            if pixels.shape == (count, 3, 32, 32) and targets.shape == (count,):
                return Images(pixels, targets, shapes.CLASSES)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there yet, or not whole: draw it again
    drawn, targets = shapes.generate(count, seed)
    pixels = np.ascontiguousarray(drawn.transpose(0, 3, 1, 2))
    with suppress(LabError):  # a read-only project works too, a few seconds slower
        write_atomic(cache, lambda path: np.savez(path, pixels=pixels, targets=targets))
    return Images(pixels, targets, shapes.CLASSES)
