"""Where images come from: CIFAR-10, the embedded shapes, or a folder; each decoded to uint8 arrays.

``read(name, split, settings)`` gives an ``Images``. Nothing here knows of validation or training.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """``pixels`` (N, 3, H, W) uint8, C order; ``targets`` (N,) int64; classes; unreadable files."""

    pixels: np.ndarray
    targets: np.ndarray
    classes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
