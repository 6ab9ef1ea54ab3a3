"""Shapes: ten classes of 32x32 colour scenes, drawn by the lab when CIFAR-10 cannot be had.

Each scene shows one flat figure of varying place, size, angle and colour on a patterned ground,
among loose strokes, under uneven light, often partly hidden or cut by the frame. Neighbours in
``CLASSES`` are look-alikes (circle and ellipse, square and rectangle, ...), so a confusion matrix
of a trained model has something to say. Colours are drawn independently of the class.

A figure is a signed distance: negative inside the outline, positive outside, in pixels. It gives
smooth edges and soft shadows directly, for a whole stack of images at once. The approach is Inigo
Quilez', "2D distance functions", https://iquilezles.org/articles/distfunctions2d/.

The same seed gives the same bytes on every machine. All randomness is PCG64 uniforms, and all
arithmetic is what IEEE 754 rounds exactly (+ - * / sqrt floor min max): sin, exp and sums over an
axis differ in the last bit between platforms, and are not used.
"""

from collections.abc import Callable

import numpy as np

CLASSES: tuple[str, ...] = (
    "circle",
    "ellipse",
    "ring",
    "crescent",
    "triangle",
    "pentagon",
    "square",
    "rectangle",
    "cross",
    "star",
)

_SIZE = 32  # pixels per side
_CHUNK = 250  # images drawn together; small enough to stay in cache, never visible in the result
_STROKES_BEHIND = 5
_STROKES_IN_FRONT = 3
_LATTICE = 6  # knots per side of the cloudy ground

_PALETTE = np.array(
    [
        (0.89, 0.31, 0.27),  # red
        (0.94, 0.58, 0.24),  # orange
        (0.97, 0.82, 0.40),  # yellow
        (0.56, 0.74, 0.36),  # green
        (0.17, 0.53, 0.44),  # teal
        (0.38, 0.72, 0.81),  # sky
        (0.20, 0.42, 0.70),  # blue
        (0.16, 0.20, 0.37),  # navy
        (0.51, 0.36, 0.65),  # purple
        (0.90, 0.57, 0.67),  # pink
        (0.54, 0.36, 0.27),  # brown
        (0.93, 0.90, 0.83),  # cream
        (0.38, 0.40, 0.44),  # slate
    ],
    dtype=np.float32,
)

# Outward unit normals of regular polygons with a vertex at the top (y points down), typed rather
# than computed because cos and sin are not the same to the last bit everywhere.
_TRIANGLE = ((0.0, 1.0), (0.8660254, -0.5), (-0.8660254, -0.5))
_PENTAGON = (
    (0.0, 1.0),
    (0.9510565, 0.3090170),
    (0.5877853, -0.8090170),
    (-0.5877853, -0.8090170),
    (-0.9510565, 0.3090170),
)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


def _box(x: np.ndarray, y: np.ndarray, half_width, half_height) -> np.ndarray:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _outermost_sides(x, y, normals) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest and second-largest distance beyond the lines through the centre."""
    first = second = np.float32(-np.inf)
    for nx, ny in normals:
        beyond = nx * x + ny * y
        second = np.maximum(second, np.minimum(first, beyond))
        first = np.maximum(first, beyond)
    return first, second


def _ellipse(x, y, a):
    short = 0.45 + 0.25 * a
    scaled = _length(x, y / short)
    gradient = _length(x, y / (short * short))
    # First-order distance: the implicit function over its slope; the exact one is a quartic root.
    return scaled * (scaled - 1.0) / np.maximum(gradient, 1e-3)


def _crescent(x, y, a):
    return np.maximum(_length(x, y) - 0.92, 0.78 - _length(x - 0.3 - 0.25 * a, y))


def _cross(x, y, a):
    arm = 0.22 + 0.14 * a
    return np.minimum(_box(x, y, 1.0, arm), _box(x, y, arm, 1.0))


def _star(x, y, a):
    # A point of a pentagram lies beyond one side of the inner pentagon and no other, so the star
    # is where the second-largest of the five distances is still negative.
    return _outermost_sides(x, y, _PENTAGON)[1] - (0.34 + 0.08 * a)


# Signed distance at (x, y), in units of the figure's radius; `a` in [0, 1) varies its proportions.
_DISTANCE: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda x, y, a: _length(x, y) - 0.85,
    "ellipse": _ellipse,
    "ring": lambda x, y, a: np.abs(_length(x, y) - 0.7) - (0.13 + 0.13 * a),
    "crescent": _crescent,
    "triangle": lambda x, y, a: _outermost_sides(x, y, _TRIANGLE)[0] - 0.55,
    "pentagon": lambda x, y, a: _outermost_sides(x, y, _PENTAGON)[0] - 0.76,
    "square": lambda x, y, a: _box(x, y, 0.76, 0.76),
    "rectangle": lambda x, y, a: _box(x, y, 0.95, 0.42 + 0.25 * a),
    "cross": _cross,
    "star": _star,
}

_PIXEL_X = np.arange(_SIZE, dtype=np.float32).reshape(1, 1, _SIZE)
_PIXEL_Y = np.arange(_SIZE, dtype=np.float32).reshape(1, _SIZE, 1)


def _turned(x, y, direction) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel grid in the frame centred on (x, y) whose first axis is `direction`."""
    cos, sin = direction[:, 0], direction[:, 1]
    dx, dy = _PIXEL_X - x, _PIXEL_Y - y
    return cos * dx + sin * dy, cos * dy - sin * dx


def _cover(distance: np.ndarray) -> np.ndarray:
    """Return the share of each pixel that lies inside, from the signed distance in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)


def _paint(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
    """Lay `colour` (n, 3, 1, 1) over `canvas` (n, 3, H, W) where `cover` (n, H, W) says so."""
    canvas += (colour - canvas) * cover[:, None]


def _clouds(knots: np.ndarray) -> np.ndarray:
    """Interpolate random knots (n, K, K) smoothly to the pixel grid (n, H, W)."""
    place = np.arange(_SIZE, dtype=np.float32) * ((_LATTICE - 1) / _SIZE)
    left = np.floor(place).astype(np.int64)
    part = place - left.astype(np.float32)
    part = part * part * (3.0 - 2.0 * part)
    rows = knots[:, left] + (knots[:, left + 1] - knots[:, left]) * part[:, None]
    return rows[..., left] + (rows[..., left + 1] - rows[..., left]) * part


def _random_scenes(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Draw what every scene is made of; arrays lead with the image and broadcast over pixels."""

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * rng.random((count, *shape))).astype(np.float32)

    def direction(*shape: int) -> np.ndarray:
        # (cos, sin) of an angle, from t = tan(angle / 2): exact arithmetic, full turn by the sign.
        t, sign = uniform(-1, 1, *shape), np.where(uniform(-1, 1, *shape) < 0, -1, 1)
        pair = np.stack([(1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)], axis=1)
        return (pair * sign[:, None]).astype(np.float32)

    def colour(index: np.ndarray) -> np.ndarray:
        tint = _PALETTE[index % len(_PALETTE)] + uniform(-0.07, 0.07, *index.shape[1:], 3)
        return tint[..., None, None]

    def index(low: int, high: int, *shape: int) -> np.ndarray:
        return np.floor(uniform(low, high, *shape)).astype(np.int64)

    ground = index(0, len(_PALETTE))
    behind, front = _STROKES_BEHIND, _STROKES_IN_FRONT
    strokes = behind + front
    reach = uniform(0.0, 1.0, strokes, 1, 1)
    thickness = uniform(0.0, 1.0, strokes, 1, 1)
    return {
        "x": uniform(11.0, 20.0, 1, 1),
        "y": uniform(11.0, 20.0, 1, 1),
        "radius": uniform(7.0, 12.0, 1, 1),
        "direction": direction(1, 1),
        "proportion": uniform(0, 1, 1, 1),
        "ground": 0.55 * colour(ground),
        # Never the ground's own palette entry; how well a figure stands out still varies widely.
        "figure": 0.35 + 0.65 * colour(ground + index(1, len(_PALETTE))),
        "figure_sheen": uniform(-0.25, 0.25, 1, 1),
        "shadow": uniform(0.1, 0.5, 1, 1),
        "knots": uniform(-1, 1, _LATTICE, _LATTICE),
        "cloud": uniform(0.05, 0.35, 1, 1),
        "stripe": np.maximum(uniform(-0.3, 0.35, 1, 1), 0.0),
        "stripe_period": uniform(3.0, 9.0, 1, 1),
        "stripe_direction": direction(1, 1),
        "light": uniform(-0.35, 0.35, 2, 1, 1),
        "exposure": uniform(0.75, 1.1, 1, 1),
        "grain": uniform(0.02, 0.1, 1, 1),
        "stroke_colour": 0.85 * colour(index(0, len(_PALETTE), strokes)),
        "stroke_x": uniform(0, _SIZE, strokes, 1, 1),
        "stroke_y": uniform(0, _SIZE, strokes, 1, 1),
        "stroke_direction": direction(strokes, 1, 1),
        "stroke_reach": 1.0 + 11.0 * reach * reach,
        # Mostly thin or (below -0.5) not there at all, now and then thick enough to hide much.
        "stroke_radius": 5.5 * thickness * thickness * thickness - 0.7,
    }


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw labelled scenes; equal arguments give equal bytes on every machine."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = (np.arange(count) % len(CLASSES))[np.argsort(rng.random(count), kind="stable")]
    scenes = _random_scenes(rng, count)
    images = np.empty((count, _SIZE, _SIZE, 3), np.uint8)
    for start in range(0, count, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        part = {name: values[chunk] for name, values in scenes.items()}
        # The stream is read in image order, so the chunk size does not change what is drawn.
        grain = rng.random((len(part["x"]), _SIZE, _SIZE)).astype(np.float32) - 0.5
        images[chunk] = _draw(labels[chunk], part, grain)
    return images, labels.astype(np.int64)


def _draw(labels: np.ndarray, scene: dict[str, np.ndarray], grain: np.ndarray) -> np.ndarray:
    """Return the images (n, H, W, 3) uint8 of n scenes."""
    along, _ = _turned(16.0, 16.0, scene["stripe_direction"])
    phase = along / scene["stripe_period"]
    stripes = 4.0 * np.abs(phase - np.floor(phase) - 0.5) - 1.0
    pattern = scene["cloud"] * _clouds(scene["knots"]) + scene["stripe"] * stripes
    canvas = scene["ground"] * (1.0 + pattern)[:, None]

    def stroke(i: int) -> None:
        u, v = _turned(
            scene["stroke_x"][:, i], scene["stroke_y"][:, i], scene["stroke_direction"][:, :, i]
        )
        beyond = np.maximum(np.abs(u) - scene["stroke_reach"][:, i], 0.0)
        distance = _length(beyond, v) - scene["stroke_radius"][:, i]
        _paint(canvas, scene["stroke_colour"][:, i], _cover(distance))

    for i in range(_STROKES_BEHIND):
        stroke(i)

    radius = scene["radius"]
    u, v = _turned(scene["x"], scene["y"], scene["direction"])
    u, v = u / radius, v / radius
    distance = np.empty_like(u)
    for label, name in enumerate(CLASSES):
        mine = labels == label
        distance[mine] = _DISTANCE[name](u[mine], v[mine], scene["proportion"][mine])
    distance *= radius
    canvas *= (1.0 - scene["shadow"] * np.clip(1.0 - distance / 3.0, 0.0, 1.0))[:, None]
    _paint(canvas, scene["figure"] * (1.0 + scene["figure_sheen"] * u)[:, None], _cover(distance))

    for i in range(_STROKES_BEHIND, _STROKES_BEHIND + _STROKES_IN_FRONT):
        stroke(i)

    across, down = _PIXEL_X / 15.5 - 1.0, _PIXEL_Y / 15.5 - 1.0
    light = scene["exposure"] * (1.0 + scene["light"][:, 0] * across + scene["light"][:, 1] * down)
    canvas = canvas * light[:, None] + (scene["grain"] * grain)[:, None]
    pixels = np.floor(np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return pixels.transpose(0, 2, 3, 1)
