"""Decoded images, from wherever they come."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from lab_utils import LabError

MAX_PIXELS = 50_000_000  # decoded, 150 MB; more is a mistake or a decompression bomb


@dataclass(frozen=True)
class Images:
    """``pixels`` (N, 3, H, W) uint8, C order; ``targets`` (N,) int64; classes; unreadable files."""

    pixels: np.ndarray
    targets: np.ndarray
    classes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits (0..65,535) or of floats (0..1) with 8 bits; LabError outside them.

    Pillow's own conversion makes white of whatever is above 255.
    """
    values, most = np.asarray(image), 1 if image.mode.startswith("F") else 65_535
    if not ((values >= 0) & (values <= most)).all():
        raise LabError(f"A grey image holds values outside 0..{most:,}; save it with 8 or 16 bits.")
    return Image.fromarray((values * (255 / most)).round().astype(np.uint8))
