"""Shapes: ten classes of 32x32 colour scenes, drawn by the lab when CIFAR-10 cannot be had.

A scene is one flat figure on a patterned ground, among loose strokes, under uneven light, often
partly hidden. Neighbours in ``CLASSES`` are look-alikes, so that a trained model confuses some;
colours are drawn independently of the class.

With the pinned NumPy and Pillow the same seed gives the same bytes on every machine: corners are
rounded to whole pixels, so that the last bit of a cosine does not matter.
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lab_utils.data.cache import keep, read_kept
from lab_utils.data.images import Images

SPLITS = {"train": (10_000, 0), "test": (2_000, 1)}  # images, seed
_SIZE = 32  # pixels per side
_FINE = 2  # drawn so many times larger, for smooth edges
_BEHIND, _STROKES = 3, 5  # strokes behind the figure, and all

# Red, orange, yellow, green, teal, sky, blue, navy, purple, pink, brown, cream, slate.
_PALETTE = bytes.fromhex(
    "e34f45 f0943d f7d166 8fbd5c 2b8770 61b8cf 336bb3 29335e 825ca6 e691ab 8a5c45 ede6d4 616670"
)
_COLOURS = np.frombuffer(_PALETTE, np.uint8).reshape(-1, 3)


def _polygon(corners: int) -> np.ndarray:
    """A regular polygon in the unit circle as complex numbers, from its top round to its top."""
    return -1j * np.exp(2j * np.pi * np.arange(corners + 1) / corners)


def _stretched(outline: np.ndarray, width: float, height: float) -> np.ndarray:
    return width * outline.real + 1j * height * outline.imag


def _cross(half_width: float) -> np.ndarray:
    arm = [1 - half_width * 1j, 1 + half_width * 1j, half_width + half_width * 1j]
    return np.outer([1, 1j, -1, -1j], arm).ravel()


_ROUND = _polygon(24)
_SQUARE = np.array([1 + 1j, -1 + 1j, -1 - 1j, 1 - 1j])
# The outline of each class, corner by corner; `a` in [0, 1] varies its proportions.
_OUTLINES = {
    "circle": lambda a: 0.85 * _ROUND,
    "ellipse": lambda a: _stretched(_ROUND, 1, 0.45 + 0.25 * a),
    "ring": lambda a: np.append((0.83 + 0.13 * a) * _ROUND, (0.57 - 0.13 * a) * _ROUND),
    # As of the moon: a half circle, and an ellipse's half that bends the same way.
    "crescent": lambda a: _stretched(_ROUND, np.where(_ROUND.real > 0, -0.25 - 0.3 * a, 1), 1),
    "triangle": lambda a: 1.1 * _polygon(3),
    "pentagon": lambda a: 0.94 * _polygon(5),
    "square": lambda a: 0.76 * _SQUARE,
    "rectangle": lambda a: _stretched(_SQUARE, 0.95, 0.42 + 0.25 * a),
    "cross": lambda a: _cross(0.22 + 0.14 * a),
    "star": lambda a: (1.1 + 0.25 * a) * _polygon(10) * np.resize([1, 0.38], 11),
}
CLASSES = tuple(_OUTLINES)


def _draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A scene with a figure of the class ``kind``: (32, 32, 3) uint8."""
    numbers = rng.integers(len(_COLOURS), size=2 + _STROKES)
    numbers[1] = numbers[0] + rng.integers(1, len(_COLOURS))  # never the ground's own colour
    colours = _COLOURS[numbers % len(_COLOURS)] + rng.uniform(-18, 18, (len(numbers), 3))
    # Mostly lighter than the ground: as often darker is too hard for a network of three layers.
    ground, figure_colour = 0.55 * colours[0], 90 + 0.65 * colours[1]

    texture = 1 + rng.uniform(0.05, 0.5) * rng.uniform(-1, 1, (*rng.integers(2, 9, 2), 1))
    canvas = Image.fromarray((texture * ground).astype(np.uint8))
    canvas = canvas.resize((_FINE * _SIZE, _FINE * _SIZE), Image.Resampling.BICUBIC)

    figure = _OUTLINES[kind](rng.random()) * rng.uniform(7, 12) * np.exp(2j * np.pi * rng.random())
    figure += rng.uniform(11, 20) + 1j * rng.uniform(11, 20)
    shadow = figure + rng.uniform(-1.5, 1.5) + 1j * rng.uniform(0, 2)
    # Mostly thin, now and then thick enough to hide much.
    reach, width = 1 + 11 * rng.random((_STROKES, 1)) ** 2, 5.5 * rng.random((_STROKES, 1)) ** 3
    strokes = _stretched(_SQUARE, reach, width) * np.exp(2j * np.pi * rng.random((_STROKES, 1)))
    strokes += _SIZE * rng.random((_STROKES, 2)).view(complex)

    layers = list(zip(strokes, 0.85 * colours[2:], strict=True))
    layers[_BEHIND:_BEHIND] = (shadow, rng.uniform(0.4, 0.9) * ground), (figure, figure_colour)
    draw = ImageDraw.Draw(canvas)
    for outline, colour in layers:
        corners = np.round(_FINE * outline).view(float).tolist()  # x, y, x, y, ...
        draw.polygon(corners, tuple(colour.clip(0, 255).astype(int).tolist()))

    across, down = rng.uniform(-0.35, 0.35, 2)
    side = np.linspace(-1, 1, _SIZE)
    light = rng.uniform(0.8, 1.2) * (1 + across * side + down * side[:, None])
    # Noise comes last, as in a camera: it does not fade with the light.
    grain = rng.uniform(2, 13) * rng.uniform(-1, 1, light.shape)
    pixels = np.asarray(canvas.reduce(_FINE)) * light[..., None] + grain[..., None]
    return pixels.clip(0, 255).round().astype(np.uint8)


def read(split: str) -> Images:
    """The ``split`` of the embedded data set; drawn once, then kept in ``data/``."""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    kept = read_kept(f"shapes-{split}", key)
    if kept is None:
        kept = Images(*generate(*SPLITS[split]), CLASSES)
        keep(f"shapes-{split}", key, kept)
    return kept


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` labelled scenes, the same for the same ``seed``.

    Images (count, 3, 32, 32) uint8, RGB with 0 black; labels (count,) int64, indices into
    ``CLASSES``, balanced to within one and shuffled. Different seeds give unrelated sets.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(count) % len(CLASSES)
    images = np.stack([_draw(CLASSES[label], rng) for label in labels])
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels
