"""Decoded images kept in files of ``data/`` for the next notebook."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.params import project_root
from lab_utils.data.images import Images


def read_kept(name: str, key: str) -> Images | None:
    """What ``keep`` wrote under ``name`` with the same ``key``; None where there is no such file.

    A damaged file counts as none: every array in it has a checksum.
    """
    with suppress(Exception), np.load(_file(name), allow_pickle=False) as stored:
        if stored["key"].item() == key:
            classes, unreadable = (tuple(stored[x].tolist()) for x in ("classes", "unreadable"))
            return Images(stored["pixels"], stored["targets"], classes, unreadable)
    return None


def keep(name: str, key: str, images: Images) -> None:
    """Write ``images`` for ``read_kept``, in place of what was kept under ``name`` before."""
    with suppress(LabError):  # where nothing can be written they are decoded again next time
        write_atomic(_file(name), lambda path: np.savez(path, key=key, **vars(images)))


def _file(name: str) -> Path:
    return project_root() / "data" / f"{name}.npz"
