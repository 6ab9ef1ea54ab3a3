"""The figures of notebook 05 about why: where the model looks, what breaks it, how sure it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
import numpy as np

from lab_utils.core.drawing import (
    BLUE,
    GRAY,
    HALF,
    ORANGE,
    ImageGrid,
    LabFigure,
    guessing_line,
    new_figure,
    styled,
)
from lab_utils.evaluation.figures import short

_PANELS = {  # corruption: title, unit
    "noise": ("Gaussian noise", "deviation (grey levels)"),
    "blur": ("Gaussian blur", "deviation (pixels)"),
    "jpeg": ("JPEG", "quality (of 100)"),
}


@styled
def grad_cam(images: np.ndarray, looks: Sequence[Any], names: Sequence[Sequence[str]]) -> LabFigure:
    """Two images a row: each, its heat for two classes, and the maps that add most to the first.

    ``images`` (N, H, W, 3) uint8; ``looks`` two of ``attribution.Look`` for these images; ``names``
    the classes of each image: the true one and those of both looks. Every map has its own scale.
    """
    wide, side = 3 + looks[0].maps.shape[1], min(2, len(images))
    rows = -(-len(images) // side)
    grid = ImageGrid(rows, wide * side, size=0.7, lines=2)
    gray = images.mean(3)
    for i, image in enumerate(images):
        places = iter([(i // side, i % side * wide + column) for column in range(wide)])
        grid.show(next(places), image, short(names[0][i], 10))
        for look, name in zip(looks, names[1:], strict=True):
            place = next(places)
            title = f"heat:\n{short(name[i], 10)}"
            grid.show(place, gray[i], title, cmap="gray", vmin=0, vmax=255)
            heat = {"cmap": "inferno", "vmin": 0, "vmax": 1, "alpha": 0.6}
            grid.show(place, np.asarray(look.heat[i]), **heat)
        for channel, number in zip(looks[0].maps[i], looks[0].channels[i].tolist(), strict=True):
            grid.show(next(places), np.asarray(channel), f"map {number}", cmap="gray")
    return grid.figure


@styled
def corruptions(rows: Sequence[Mapping[str, Any]], clean: Mapping[str, Any]) -> LabFigure:
    """A panel per corruption: accuracy with its interval over strength; dashed: undamaged images.

    ``rows`` are those of ``robustness.corruption_curve``, ``clean`` one without damage.
    """
    kinds = list(dict.fromkeys(row["corruption"] for row in rows))
    figure, axes = new_figure(4.7, 2.7, 1, len(kinds), sharey=True, squeeze=False)
    for ax, kind in zip(axes[0], kinds, strict=True):
        chosen = [row for row in rows if row["corruption"] == kind]
        title, unit = _PANELS[kind]
        line = ax.axhline(100 * clean["accuracy"], color=GRAY, linestyle="--", linewidth=1.2)
        ax.axhspan(100 * clean["low"], 100 * clean["high"], color=GRAY, alpha=0.15, linewidth=0)
        places = range(len(chosen))
        curve = _with_interval(ax, places, chosen, BLUE, "o")
        ax.set_xticks(places, [f"{row['severity']:g}" for row in chosen])
        ax.set_xlim(-0.4, len(chosen) - 0.6)
        ax.set(title=title, xlabel=unit.replace(" (", "\n("), ylim=(0, 100))
    axes[0, 0].set_ylabel("accuracy (%)")
    figure.legend(
        [curve, line], ["damaged", "undamaged"], loc="outside upper right", ncols=2
    )  # both with their 95% intervals
    return figure


@styled
def attacks(rows: Sequence[Mapping[str, Any]], guessing: float) -> LabFigure:
    """Accuracy with its interval over the largest change of a pixel, a curve per attack.

    ``rows`` are those of ``robustness.attack_curve``, ``guessing`` what chance alone would score.
    """
    figure, ax = new_figure(3.3, 2.7)
    for (name, color, marker), shift in zip(
        (("FGSM", BLUE, "o"), ("PGD", ORANGE, "s")), (-0.05, 0.05), strict=True
    ):
        chosen = [row for row in rows if row["attack"] == name]
        places = [row["epsilon"] + (shift if row["epsilon"] else 0) for row in chosen]
        _with_interval(ax, places, chosen, color, marker, name)
    guessing_line(ax, 100 * guessing, "guessing")
    ax.set_xticks([row["epsilon"] for row in chosen])
    ax.set(ylim=(0, 100), ylabel="accuracy (%)")
    ax.set_xlim(-0.3, 1.4 * places[-1])  # the label of guessing stands right of the last point
    ax.set_xlabel("largest change (grey levels of 255)")
    ax.legend(loc="upper right")
    return figure


@styled
def temperature(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], few: int = 20
) -> LabFigure:
    """Accuracy over confidence before and after scaling, from the bins of both.

    ``before`` and ``after`` are bins of ``evaluation.reliability``; those with fewer than ``few``
    images are left out.
    """
    figure, ax = new_figure(*HALF)
    ax.plot([0, 1], [0, 1], "--", color="black", linewidth=1.2, label="perfect")
    for bins, color, marker, name in (
        (before, BLUE, "o", "as trained"),
        (after, ORANGE, "s", "after scaling"),
    ):
        chosen = [row for row in bins if row["count"] >= few]
        points = [[row[key] for row in chosen] for key in ("confidence", "accuracy")]
        ax.plot(*points, marker=marker, color=color, markersize=4.5, label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    ax.set_xlabel("confidence (probability of the predicted class)")
    ax.legend(loc="upper left")
    return figure


def _with_interval(
    ax: Axes,
    places: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    color: str,
    marker: str,
    label: str | None = None,
) -> object:
    accuracy, low, high = (
        np.array([100 * row[key] for row in rows]) for key in ("accuracy", "low", "high")
    )
    return ax.errorbar(
        list(places),
        accuracy,
        yerr=np.abs([low - accuracy, high - accuracy]),
        fmt=f"{marker}-",
        color=color,
        markersize=4.5,
        elinewidth=1,
        capsize=2,
        label=label,
    )
