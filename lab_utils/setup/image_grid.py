"""Images in rows and columns, each with a short title."""

from collections.abc import Sequence

from matplotlib.text import Text
import numpy as np

from lab_utils.core.drawing import LabFigure, new_figure, styled


class ImageGrid:
    """Images in ``rows`` and ``columns``, each of ``size`` inches, with ``lines`` of title above.

    All are on one pair of axes: an axes for each takes Matplotlib several times as long.
    """

    @styled
    def __init__(self, rows: int, columns: int, size: float = 0.85, lines: int = 0) -> None:
        self.right, self.down = 1.06, 1.06 + 0.17 * lines / size  # in sides of an image
        self.figure, self.ax = new_figure(columns * size * self.right, rows * size * self.down)
        self.ax.axis("off")
        self.ax.set_xlim(0, columns * self.right)
        self.ax.set_ylim(-rows * self.down, 0)

    def show(
        self, place: tuple[int, int], image: np.ndarray, title: str = "", **options: object
    ) -> Text:
        """``image`` at the row and column ``place``, ``options`` as of ``imshow``; its title."""
        height, width = (side / max(image.shape[:2]) for side in image.shape[:2])
        x, y = (place[1] + 0.5) * self.right, 0.5 - (place[0] + 1) * self.down  # its centre
        extent = (x - width / 2, x + width / 2, y - height / 2, y + height / 2)
        self.ax.imshow(image, extent=extent, **({"interpolation": "nearest"} | options))
        words = {"ha": "center", "va": "bottom", "fontsize": 7.5, "parse_math": False}
        return self.ax.text(x, y + 0.53, title, **words)


def image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    columns: int = 8,
    size: float = 0.85,
    colors: Sequence[str] | None = None,
    interpolation: str = "nearest",
) -> LabFigure:
    """(H, W, 3) images (uint8, or floats in 0..1) in a grid, each with a short title."""
    lines = 1 + max(title.count("\n") for title in titles)
    grid = ImageGrid(-(-len(images) // columns), columns, size, lines)
    colors = colors or ["black"] * len(images)
    for index, (image, title, color) in enumerate(zip(images, titles, colors, strict=True)):
        shown = grid.show(divmod(index, columns), image, title, interpolation=interpolation)
        shown.set_color(color)
    return grid.figure
