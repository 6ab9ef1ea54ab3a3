"""``predictions.npz``: the logits of every test image, for whoever computes another figure."""

from pathlib import Path
from typing import NamedTuple
import zipfile

import numpy as np

from lab_utils import LabError
from lab_utils.core.files import write_atomic


class Predictions(NamedTuple):
    """What a network answered, in the order of the test images."""

    logits: np.ndarray  # (N, K) float32
    targets: np.ndarray  # (N,) int64
    classes: tuple[str, ...]


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write them, atomically; tensors on the CPU are saved as arrays."""
    write_atomic(path, lambda file: np.savez_compressed(file, **predictions._asdict()))


def load_predictions(path: Path) -> Predictions:
    """What ``save_predictions`` wrote; LabError where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            return Predictions(saved["logits"], saved["targets"], tuple(saved["classes"].tolist()))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise LabError(
            f"{path} is missing or damaged ({error}); run 05_evaluation again."
        ) from None
