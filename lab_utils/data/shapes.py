"""Shapes: ten classes of 32x32 colour scenes, drawn by the lab when CIFAR-10 cannot be had.

A scene is one flat figure on a patterned ground, among loose strokes, under uneven light, often
partly hidden. Neighbours in ``CLASSES`` are look-alikes, so that a trained model confuses some;
colours are drawn independently of the class. A figure is a signed distance in pixels, negative
inside the outline, as in https://iquilezles.org/articles/distfunctions2d/ by Inigo Quilez.

The same seed gives the same bytes on every machine, because all randomness is PCG64 uniforms and
all arithmetic is what IEEE 754 rounds exactly: + - * / sqrt floor min max, no sin, no exp.
"""

from collections.abc import Callable
import hashlib
from pathlib import Path

import numpy as np

from lab_utils.data.cache import keep, read_kept
from lab_utils.data.images import Images

SPLITS = {"train": (10_000, 0), "test": (2_000, 1)}  # images, seed
_SIZE = 32  # pixels per side
_CHUNK = 250  # images drawn together; small enough to stay in cache, never visible in the result
_BEHIND, _IN_FRONT = 5, 3  # strokes
_LATTICE = 6  # knots per side of the cloudy ground
_PIXEL_X = np.arange(_SIZE, dtype=np.float32).reshape(1, 1, _SIZE)
_PIXEL_Y = _PIXEL_X.reshape(1, _SIZE, 1)

# Red, orange, yellow, green, teal, sky, blue, navy, purple, pink, brown, cream, slate.
_PALETTE = bytes.fromhex(
    "e34f45 f0943d f7d166 8fbd5c 2b8770 61b8cf 336bb3 29335e 825ca6 e691ab 8a5c45 ede6d4 616670"
)
_COLOURS = np.frombuffer(_PALETTE, np.uint8).reshape(-1, 3).astype(np.float32) / 255.0

# Outward unit normals of regular polygons with a vertex at the top (y points down), as numbers
# because cos and sin are not the same to the last bit everywhere.
_TRIANGLE = ((0.0, 1.0), (0.8660254, -0.5), (-0.8660254, -0.5))
_RIGHT = ((0.9510565, 0.3090170), (0.5877853, -0.8090170))
_PENTAGON = ((0.0, 1.0), *_RIGHT, *((-x, y) for x, y in _RIGHT))


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _beyond_sides(x, y, normals) -> tuple[np.ndarray, np.ndarray]:
    """The largest and second-largest distance from the centre along the normals."""
    first = second = np.float32(-np.inf)
    for nx, ny in normals:
        beyond = nx * x + ny * y
        second = np.maximum(second, np.minimum(first, beyond))
        first = np.maximum(first, beyond)
    return first, second


def _ellipse(x: np.ndarray, y: np.ndarray, short: np.ndarray) -> np.ndarray:
    scaled = _length(x, y / short)
    gradient = _length(x, y / (short * short))
    # To first order, the implicit function over its slope; the exact distance solves a quartic.
    return scaled * (scaled - 1.0) / np.maximum(gradient, 1e-3)


# Signed distance at (x, y), in units of the figure's radius; `a` in [0, 1] varies its proportions.
_DISTANCE: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda x, y, a: _length(x, y) - 0.85,
    "ellipse": lambda x, y, a: _ellipse(x, y, 0.45 + 0.25 * a),
    "ring": lambda x, y, a: np.abs(_length(x, y) - 0.7) - (0.13 + 0.13 * a),
    "crescent": lambda x, y, a: np.maximum(
        _length(x, y) - 0.92, 0.78 - _length(x - (0.3 + 0.25 * a), y)
    ),
    "triangle": lambda x, y, a: _beyond_sides(x, y, _TRIANGLE)[0] - 0.55,
    "pentagon": lambda x, y, a: _beyond_sides(x, y, _PENTAGON)[0] - 0.76,
    "square": lambda x, y, a: _box(x, y, 0.76, 0.76),
    "rectangle": lambda x, y, a: _box(x, y, 0.95, 0.42 + 0.25 * a),
    "cross": lambda x, y, a: np.minimum(
        _box(x, y, 1.0, 0.22 + 0.14 * a), _box(x, y, 0.22 + 0.14 * a, 1.0)
    ),
    # A point of a pentagram lies beyond one side of its inner pentagon and no other, so the star
    # is where the second-largest of the five distances is still negative.
    "star": lambda x, y, a: _beyond_sides(x, y, _PENTAGON)[1] - (0.34 + 0.08 * a),
}

CLASSES: tuple[str, ...] = tuple(_DISTANCE)


def _turned(x, y, direction) -> tuple[np.ndarray, np.ndarray]:
    """The pixel grid in the frame centred on (x, y) whose first axis is `direction`."""
    cos, sin = direction[:, 0], direction[:, 1]
    dx, dy = _PIXEL_X - x, _PIXEL_Y - y
    return cos * dx + sin * dy, cos * dy - sin * dx


def _paint(canvas: np.ndarray, colour: np.ndarray, distance: np.ndarray) -> None:
    """Lay `colour` over `canvas` (n, 3, H, W) inside the outline at signed `distance` (n, H, W)."""
    cover = np.clip(0.5 - distance, 0.0, 1.0)  # the share of a pixel that is inside
    canvas += (colour - canvas) * cover[:, None]


def _clouds(knots: np.ndarray) -> np.ndarray:
    """Interpolate random knots (n, K, K) smoothly to the pixel grid (n, H, W)."""
    left, part = np.divmod(np.arange(_SIZE, dtype=np.float32) * (_LATTICE - 1), _SIZE)
    left, part = left.astype(np.int64), part / _SIZE
    part = part * part * (3.0 - 2.0 * part)
    rows = knots[:, left] + (knots[:, left + 1] - knots[:, left]) * part[:, None]
    return rows[..., left] + (rows[..., left + 1] - rows[..., left]) * part


def _random_scenes(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """What each scene is made of; arrays lead with the image and broadcast over its pixels."""

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * rng.random((count, *shape))).astype(np.float32)

    def direction(*shape: int) -> np.ndarray:
        # (cos, sin) on axis 1, from t = tan(angle / 2): half the circle; the sign gives the rest.
        t = uniform(-1, 1, *shape)
        sign = np.copysign(np.float32(1.0), uniform(-1, 1, *shape))
        return np.stack([1.0 - t * t, 2.0 * t], axis=1) / (sign * (1.0 + t * t))[:, None]

    def colour(index: np.ndarray) -> np.ndarray:
        jitter = uniform(-0.07, 0.07, *index.shape[1:], 3)
        return (_COLOURS[index % len(_COLOURS)] + jitter)[..., None, None]

    def index(low: int, high: int, *shape: int) -> np.ndarray:
        return np.floor(low + (high - low) * rng.random((count, *shape))).astype(np.int64)

    ground, strokes = index(0, len(_COLOURS)), _BEHIND + _IN_FRONT
    reach, thickness = (uniform(0.0, 1.0, strokes, 1, 1) for _ in range(2))
    return {
        "x": uniform(11.0, 20.0, 1, 1),
        "y": uniform(11.0, 20.0, 1, 1),
        "radius": uniform(7.0, 12.0, 1, 1),
        "direction": direction(1, 1),
        "proportion": uniform(0, 1, 1, 1),
        "ground": 0.55 * colour(ground),
        # Never the ground's own colour, and mostly lighter: with figures as often darker, a network
        # of three layers reached only 24% in five epochs.
        "figure": 0.35 + 0.65 * colour(ground + index(1, len(_COLOURS))),
        "figure_sheen": uniform(-0.25, 0.25, 1, 1),
        "shadow": uniform(0.1, 0.5, 1, 1),
        "knots": uniform(-1, 1, _LATTICE, _LATTICE),
        "cloud": uniform(0.05, 0.35, 1, 1),
        "stripe": np.maximum(uniform(-0.3, 0.35, 1, 1), 0.0),
        "stripe_period": uniform(3.0, 9.0, 1, 1),
        "stripe_direction": direction(1, 1),
        "light": uniform(-0.35, 0.35, 2, 1, 1),
        "exposure": uniform(0.8, 1.2, 1, 1),
        "grain": uniform(0.02, 0.1, 1, 1),
        "stroke_colour": 0.85 * colour(index(0, len(_COLOURS), strokes)),
        "stroke_x": uniform(0, _SIZE, strokes, 1, 1),
        "stroke_y": uniform(0, _SIZE, strokes, 1, 1),
        "stroke_direction": direction(strokes, 1, 1),
        "stroke_reach": 1.0 + 11.0 * reach * reach,
        # Mostly thin or (below -0.5) not there at all, now and then thick enough to hide much.
        "stroke_radius": 5.5 * thickness * thickness * thickness - 0.7,
    }


def _paint_strokes(canvas: np.ndarray, scene: dict[str, np.ndarray], numbers: range) -> None:
    """Lay these strokes of every scene, straight lines with round ends, over `canvas`."""
    for i in numbers:
        names = ("x", "y", "reach", "radius")
        x, y, reach, radius = (scene[f"stroke_{name}"][:, i] for name in names)
        u, v = _turned(x, y, scene["stroke_direction"][:, :, i])
        distance = _length(np.maximum(np.abs(u) - reach, 0.0), v) - radius
        _paint(canvas, scene["stroke_colour"][:, i], distance)


def _draw(labels: np.ndarray, scene: dict[str, np.ndarray], grain: np.ndarray) -> np.ndarray:
    """The images (n, 3, H, W) uint8 of n scenes."""
    along, _ = _turned(_SIZE / 2, _SIZE / 2, scene["stripe_direction"])
    phase = along / scene["stripe_period"]
    stripes = 4.0 * np.abs(phase - np.floor(phase) - 0.5) - 1.0
    pattern = scene["cloud"] * _clouds(scene["knots"]) + scene["stripe"] * stripes
    canvas = scene["ground"] * (1.0 + pattern)[:, None]
    _paint_strokes(canvas, scene, range(_BEHIND))

    radius = scene["radius"]
    u, v = (side / radius for side in _turned(scene["x"], scene["y"], scene["direction"]))
    distance = np.empty_like(u)
    for label, distance_to in enumerate(_DISTANCE.values()):
        mine = labels == label
        distance[mine] = distance_to(u[mine], v[mine], scene["proportion"][mine])
    distance *= radius
    canvas *= (1.0 - scene["shadow"] * np.clip(1.0 - distance / 3.0, 0.0, 1.0))[:, None]
    _paint(canvas, scene["figure"] * (1.0 + scene["figure_sheen"] * u)[:, None], distance)
    _paint_strokes(canvas, scene, range(_BEHIND, _BEHIND + _IN_FRONT))

    across, down = _PIXEL_X / 15.5 - 1.0, _PIXEL_Y / 15.5 - 1.0
    light = scene["exposure"] * (1.0 + scene["light"][:, 0] * across + scene["light"][:, 1] * down)
    # Noise comes last, as in a camera: it does not fade with the light.
    canvas = canvas * light[:, None] + (scene["grain"] * grain)[:, None]
    return np.floor(np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def read(split: str) -> Images:
    """The ``split`` of the embedded data set; drawn once, then kept in ``data/``."""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    kept = read_kept(f"shapes-{split}", key)
    if kept is None:
        kept = Images(*generate(*SPLITS[split]), CLASSES)
        keep(f"shapes-{split}", key, kept)
    return kept


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` labelled scenes, the same bytes for the same ``seed`` on every machine.

    Images (count, 3, 32, 32) uint8, RGB with 0 black; labels (count,) int64, indices into
    ``CLASSES``, balanced to within one and shuffled. Different seeds give unrelated sets.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    shuffled = np.argsort(rng.random(count), kind="stable")
    labels = np.arange(count, dtype=np.int64)[shuffled] % len(CLASSES)
    scenes = _random_scenes(rng, count)
    images = np.empty((count, 3, _SIZE, _SIZE), np.uint8)
    for start in range(0, count, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        part = {name: values[chunk] for name, values in scenes.items()}
        # The stream is read in image order, so the chunk size does not change what is drawn.
        grain = rng.random((len(part["x"]), _SIZE, _SIZE)).astype(np.float32) - 0.5
        images[chunk] = _draw(labels[chunk], part, grain)
    return images, labels
