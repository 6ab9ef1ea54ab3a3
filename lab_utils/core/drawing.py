"""A figure with its caption and alternative text, and the look that all figures share."""

import base64
from dataclasses import dataclass
import html
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
# A sheet of paper, in the dark theme too: the figure is the one that the report prints.
_PAPER = "background:white;border-radius:6px;padding:6px;box-sizing:border-box;max-width:100%"
HALF = (4.0, 2.9)  # inches; the report prints such figures two in a row, a little smaller
# Decorates every function that returns a figure: artists take their look when they are made.
styled = matplotlib.rc_context({
    "font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e5e5e5", "grid.linewidth": 0.7,
    "legend.frameon": False, "lines.linewidth": 1.6,
    "svg.hashsalt": "lab",  # the same figure gives the same file
    "text.parse_math": False,  # a class may be called $x$
})  # fmt: skip


class LabFigure(Figure):
    """A Figure that shows itself as a PNG in a notebook, without pyplot's global state."""

    @styled
    def savefig(self, *args: object, **options: object) -> None:
        """As Matplotlib's, in the lab's style."""
        super().savefig(*args, **options)
        self.set_layout_engine("none")  # laid out now; again would take as long as drawing

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=96, bbox_inches="tight")
        return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a figure function returns, for ``Run.show``; the texts come from the same data.

    ``caption`` says what is seen in this run, ``alt`` the same to those who cannot see it.
    """

    name: str
    figure: LabFigure
    caption: str
    alt: str

    @property
    def file(self) -> str:
        """Its path in a run folder: curves and bars are SVG, figures that hold images PNG."""
        raster = any(axes.images for axes in self.figure.axes)
        return f"figures/{self.name}.{'png' if raster else 'svg'}"

    def encode(self) -> bytes:
        """What ``file`` holds, SVG or PNG; the same figure gives the same bytes."""
        kind = self.file.rpartition(".")[2]
        plain = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": 160}
        buffer = BytesIO()
        self.figure.savefig(buffer, format=kind, bbox_inches="tight", **plain)
        return buffer.getvalue()

    def entry(self, step: str) -> dict[str, str]:
        """What figures.json, and with it the report, knows of this figure of ``step``."""
        return {"step": step, "file": self.file, "caption": self.caption, "alt": self.alt}

    def __repr__(self) -> str:
        return self.caption

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.figure._repr_png_()).decode()
        alt, caption = html.escape(self.alt), html.escape(self.caption)
        return (
            f'<figure style="margin:0"><img style="{_PAPER}" alt="{alt}" '
            f'src="data:image/png;base64,{picture}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


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
        text, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 3),
        textcoords="offset points", ha="right", color=GRAY, fontsize=8.5,
    )  # fmt: skip


def whole_numbers(axis: object) -> None:
    """Ticks at whole numbers only: there is no epoch 2.5."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
