"""Where images come from: CIFAR-10, the embedded shapes, or a folder; each decoded to uint8 arrays.

``read(name, split, settings)`` gives an ``Images``. Nothing here knows of validation or training.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
import hashlib
import os
from pathlib import Path
import pickle
import socket
import tarfile
from typing import Any
import zipfile

from lab_utils import LabError, shapes
from lab_utils.files import write_atomic
from lab_utils.settings import Settings, project_root
import numpy as np
from PIL import Image, ImageOps

_CONNECT_SECONDS = 10  # a firewall that drops packets must not hang the lab
_CIFAR_FOLDER = "cifar-10-batches-py"
_SHAPES = {"train": (10_000, 0), "test": (2_000, 1)}  # count, seed
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"}


@dataclass(frozen=True)
class Images:
    """``pixels`` (N, 3, H, W) uint8, C order; ``targets`` (N,) int64; classes; unreadable files."""

    pixels: np.ndarray
    targets: np.ndarray
    classes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()


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


def _places() -> list[Path]:
    """Where CIFAR-10 may be, in order; a relative ``LAB_DATA_DIR`` starts at the project."""
    own = project_root() / "data"
    given = os.environ.get("LAB_DATA_DIR")
    return [(project_root() / Path(given).expanduser()).resolve(), own] if given else [own]


@lru_cache(maxsize=1)
def cifar10_folder() -> Path:
    """The folder that holds intact CIFAR-10 files, downloaded into ``data/`` if it is nowhere.

    Raises FileNotFoundError where it is nowhere and cannot be downloaded, LabError where files are
    there but fail the MD5 check and cannot be replaced.
    """
    *given, own = _places()
    damaged = None
    for place in (*given, own):
        if not (place / _CIFAR_FOLDER).is_dir():
            continue
        damaged = _damaged_file(place / _CIFAR_FOLDER)
        if damaged is None:
            return place
        if place != own:
            raise LabError(
                f"{damaged} is missing or damaged (MD5 check failed); delete that folder, or point "
                "LAB_DATA_DIR at good files."
            )
    try:
        _download(own)
        return own
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        why = getattr(error, "reason", None) or error
    mend = (
        f"put the folder {_CIFAR_FOLDER} into {own}, set LAB_DATA_DIR to the folder that holds it, "
        "or use data=shapes."
    )
    if damaged:
        raise LabError(
            f"{damaged} is missing or damaged (MD5 check failed) and CIFAR-10 could not be "
            f"downloaded again ({why}); {mend}"
        )
    looked = " and ".join(str(place) for place in (*given, own))
    raise FileNotFoundError(
        f"CIFAR-10 was not found in {looked} and could not be downloaded ({why}); {mend}"
    )


def _damaged_file(folder: Path) -> Path | None:
    """The first file of ``folder`` that is missing or fails torchvision's MD5; None if all pass."""
    from torchvision.datasets import CIFAR10  # takes a second: only where it is needed
    from torchvision.datasets.utils import check_integrity

    files = [
        *CIFAR10.train_list,
        *CIFAR10.test_list,
        [CIFAR10.meta["filename"], CIFAR10.meta["md5"]],
    ]
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        intact = pool.map(lambda file: check_integrity(folder / file[0], file[1]), files)
        broken = (folder / name for (name, _), good in zip(files, intact, strict=True) if not good)
        return next(broken, None)


def _download(place: Path) -> None:
    """Fetch CIFAR-10 into ``place``: progress, a time-out, a second try, and the MD5 check."""
    from torchvision.datasets import CIFAR10

    place.mkdir(parents=True, exist_ok=True)
    # torchvision shows a bar where somebody watches; a log gets this one line.
    print("download of CIFAR-10 (170 MB), checked by MD5", flush=True)
    with _time_out():
        try:
            CIFAR10(place, download=True)
        except (OSError, RuntimeError):  # RuntimeError: it was cut off, and the MD5 says so
            CIFAR10(place, download=True)


@contextmanager
def _time_out() -> Iterator[None]:
    """torchvision's download has no time-out of its own; sockets made in here have one."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@lru_cache(maxsize=2)
def _cifar10(split: str) -> Images:
    """The files hold rows of 3 x 32 x 32 bytes; torchvision's own reader would hash them anew."""
    from torchvision.datasets import CIFAR10

    try:
        folder = cifar10_folder() / _CIFAR_FOLDER
    except FileNotFoundError as error:
        raise LabError(str(error)) from None

    def unpickled(name: str) -> dict[str, Any]:
        with (folder / name).open("rb") as file:  # its MD5 was right: a pickle may run code
            return pickle.load(file, encoding="latin1")

    files = CIFAR10.train_list if split == "train" else CIFAR10.test_list
    parts = [unpickled(name) for name, _ in files]
    pixels = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
    targets = np.concatenate([part["labels"] for part in parts]).astype(np.int64)
    return Images(pixels, targets, tuple(unpickled(CIFAR10.meta["filename"])["label_names"]))


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


def _root(settings: Settings) -> Path:
    """The folder that ``data_folder`` names; a relative one is seen from the project's folder."""
    if not settings.data_folder:
        raise LabError("data=folder needs data_folder=PATH, which holds train/ and test/.")
    return project_root() / Path(settings.data_folder).expanduser()


def _folder(split: str, settings: Settings) -> Images:
    """Every image of ``<data_folder>/<split>/<class>/``, as squares of ``image_size`` pixels."""
    root = _root(settings)
    classes = {}
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise LabError(f"{root / part} is not a folder; data=folder expects train/ and test/.")
        classes[part] = tuple(sorted(x.name for x in (root / part).iterdir() if x.is_dir()))
    if classes["train"] != classes["test"] or len(classes["train"]) < 2:
        raise LabError(
            f"{root}: train/ has the classes {', '.join(classes['train']) or 'none'} and test/ has "
            f"{', '.join(classes['test']) or 'none'}; give both the same two or more class folders."
        )
    files = [
        (path, target)
        for target, name in enumerate(classes[split])
        for path in sorted((root / split / name).rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]

    def decode(item: tuple[Path, int]) -> np.ndarray | None:
        size = (settings.image_size, settings.image_size)
        try:
            with Image.open(item[0]) as image:
                square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), size)
                return np.asarray(square).transpose(2, 0, 1)
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ):
            return None

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        decoded = list(pool.map(decode, files))
    good = [(x, target) for x, (_, target) in zip(decoded, files, strict=True) if x is not None]
    targets = np.array([target for _, target in good], dtype=np.int64)
    counts = np.bincount(targets, minlength=len(classes[split]))
    if (counts == 0).any():
        empty = classes[split][int(counts.argmin())]
        raise LabError(f"{root / split / empty} holds no readable image; add some or remove it.")
    unreadable = tuple(
        path.relative_to(root).as_posix()
        for x, (path, _) in zip(decoded, files, strict=True)
        if x is None
    )
    return Images(np.ascontiguousarray([x for x, _ in good]), targets, classes[split], unreadable)
