"""CIFAR-10: found in ``LAB_DATA_DIR`` or ``data/``, else downloaded; checked, and decoded."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http.client import HTTPException
import os
from pathlib import Path
import pickle
import socket
import tarfile
from typing import Any

import numpy as np

from lab_utils import LabError
from lab_utils.core.params import expanded, project_root
from lab_utils.data.images import Images

_FOLDER = "cifar-10-batches-py"
_MEND = f"set LAB_DATA_DIR to the folder that holds a whole {_FOLDER}, or use data=shapes"
# What a download raises: RuntimeError where it was cut off, and the MD5 says so.
_BROKEN = (OSError, RuntimeError, HTTPException)


class NotFound(LabError):
    """CIFAR-10 is not in the places ``where`` and cannot be downloaded: ``why`` has no path."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"CIFAR-10 was not found in {where}{why}; {_MEND}.")
        self.why = why


def places() -> list[Path]:
    """Where CIFAR-10 may be: ``LAB_DATA_DIR`` (from the project if relative), then ``data/``.

    ``LAB_DATA_DIR`` names the folder that holds ``cifar-10-batches-py``, or that folder itself.
    """
    own = project_root() / "data"
    if not os.environ.get("LAB_DATA_DIR"):
        return [own]
    given = (project_root() / expanded(os.environ["LAB_DATA_DIR"])).resolve()
    return [given.parent if given.name == _FOLDER else given, own]


def find() -> Path | None:
    """The first of ``places`` that has a folder of CIFAR-10, whole or not; None for nowhere."""
    return next((place for place in places() if (place / _FOLDER).is_dir()), None)


@lru_cache(maxsize=1)
def cifar10_folder() -> Path:
    """The folder that holds intact CIFAR-10 files, downloaded into ``data/`` if it is nowhere.

    Raises NotFound, or LabError where files fail the MD5 check and cannot be replaced.
    """
    found, own, why = find(), places()[-1], ""
    damaged = found and _damaged_file(found / _FOLDER)
    if found and not damaged:
        return found
    if found in (None, own):  # the lab puts nothing into a folder of the user's
        try:
            return _download(own)
        except (*_BROKEN, EOFError, tarfile.TarError) as error:
            # Not where: a run that falls back keeps this, and an OSError may name a path.
            what = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            why = f" and could not be downloaded ({' '.join(str(what).split())})"  # in one line
    if not found:
        raise NotFound(" and ".join(map(str, places())), why)
    raise LabError(f"{damaged} is missing or damaged (MD5 check failed){why}; {_MEND}.")


def _damaged_file(folder: Path) -> Path | None:
    """The first file of ``folder`` that is missing or fails torchvision's MD5; None if all pass."""
    from torchvision.datasets import CIFAR10  # takes a second: only where it is needed
    from torchvision.datasets.utils import check_integrity

    meta = CIFAR10.meta["filename"], CIFAR10.meta["md5"]
    names, digests = zip(*CIFAR10.train_list, *CIFAR10.test_list, meta, strict=True)
    paths = [folder / name for name in names]
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        intact = pool.map(check_integrity, paths, digests)
        return next((path for path, good in zip(paths, intact, strict=True) if not good), None)


def _download(place: Path) -> Path:
    """Fetch CIFAR-10 into ``place``: progress, a time-out, a second try, and the MD5 check."""
    from torchvision.datasets import CIFAR10

    place.mkdir(parents=True, exist_ok=True)
    # torchvision shows a bar where somebody watches; a log gets this one line.
    print("download of CIFAR-10 (170 MB), checked by MD5", flush=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)  # seconds: a firewall that drops packets must not hang the lab
    try:
        CIFAR10(place, download=True)
    except _BROKEN:
        CIFAR10(place, download=True)
    finally:
        socket.setdefaulttimeout(before)
    return place


@lru_cache(maxsize=2)
def read(split: str) -> Images:
    """The ``split`` of CIFAR-10; LabError where it cannot be had or is damaged.

    The files hold rows of 3 x 32 x 32 bytes; torchvision's own reader would hash them again.
    """
    from torchvision.datasets import CIFAR10

    folder = cifar10_folder() / _FOLDER

    def unpickled(name: str) -> dict[str, Any]:
        with (folder / name).open("rb") as file:  # its MD5 was right: a pickle may run code
            return pickle.load(file, encoding="latin1")

    files = CIFAR10.train_list if split == "train" else CIFAR10.test_list
    parts = [unpickled(name) for name, _ in files]
    pixels = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
    targets = np.concatenate([part["labels"] for part in parts]).astype(np.int64)
    return Images(pixels, targets, tuple(unpickled(CIFAR10.meta["filename"])["label_names"]))
