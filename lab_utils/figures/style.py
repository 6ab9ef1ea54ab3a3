"""The look that all figures share."""

from collections.abc import Sequence
from io import BytesIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
import numpy as np

# Okabe and Ito's colours can be told apart with any colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, GRAY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666",
)  # fmt: skip

RC = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "lab",  # the same figure gives the same file
}


# Decorates every function that returns a figure: artists take their look when they are made.
styled = matplotlib.rc_context(RC)


class LabFigure(Figure):
    """A Figure that shows itself as a PNG in a notebook, without pyplot's global state."""

    @styled
    def savefig(self, *args: object, **options: object) -> None:
        """As Matplotlib's, in the lab's style."""
        super().savefig(*args, **options)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=96, bbox_inches="tight")
        return buffer.getvalue()


@styled
def new_figure(
    width: float = 6.4, height: float = 3.2, rows: int = 1, columns: int = 1, **options: object
) -> tuple[LabFigure, Axes | np.ndarray]:
    """A figure of ``width`` by ``height`` inches and its axes, one or an array of them."""
    figure = LabFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def guessing_line(ax: Axes, value: float, text: str) -> None:
    """A dotted line at what an untrained model scores, labelled at its right end."""
    ax.axhline(value, color=GRAY, linestyle=":", linewidth=1.2)
    ax.annotate(
        text,
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        color=GRAY,
        fontsize=8.5,
    )


# The report prints such figures two in a row, at about five sixths of this size.
HALF = (4.0, 2.9)


def whole_numbers(axis: object) -> None:
    """Ticks at whole numbers only: there is no epoch 2.5."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


@styled
def image_grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    size: float = 0.85,
    colors: Sequence[str] | None = None,
) -> LabFigure:
    """(N, H, W, 3) images (uint8, or floats in 0..1) in a grid, each with a short title."""
    rows = -(-len(images) // columns)
    title_height = 0.0 if titles is None else 0.17 * (1 + max(t.count("\n") for t in titles))
    figure, axes = new_figure(
        columns * size, rows * (size + title_height), rows, columns, squeeze=False
    )
    for index, ax in enumerate(axes.flat):
        ax.axis("off")
        if index < len(images):
            ax.imshow(images[index], interpolation="nearest")
            if titles is not None:
                color = colors[index] if colors is not None else "black"
                ax.set_title(titles[index], fontsize=7.5, color=color, pad=2)
    return figure
