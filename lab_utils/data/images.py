"""Decoded images, from wherever they come."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """``pixels`` (N, 3, H, W) uint8, C order; ``targets`` (N,) int64; classes; unreadable files."""

    pixels: np.ndarray
    targets: np.ndarray
    classes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
