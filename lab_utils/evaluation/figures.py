"""The figures of notebook 05: where the model is right, where it is wrong, and how sure it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.legend_handler import HandlerTuple
from matplotlib.patches import Patch
import numpy as np
import seaborn as sns

from lab_utils.core.drawing import (
    BLUE,
    GRAY,
    HALF,
    ORANGE,
    RED,
    LabFigure,
    image_grid,
    new_figure,
    styled,
)

_WRITTEN = 12  # up to this many classes each cell of a confusion matrix holds its number


_BLUES = LinearSegmentedColormap.from_list("lab", ["#ffffff", "#9ecae8", BLUE, "#00304d"])


def short(name: str, length: int = 12) -> str:
    """``name``, cut where it is too long for a small title."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _heatmap(ax: Axes, values: np.ndarray, top: float, form: str, names: Sequence[str]) -> None:
    """One confusion matrix; zeros stay blank so that the errors stand out."""
    written = len(names) <= _WRITTEN
    texts = np.array([[format(v, form) if v > 0 else "" for v in row] for row in values])
    every = 1 if len(names) <= 40 else -(-len(names) // 20)
    labels = [name if i % every == 0 else "" for i, name in enumerate(names)]
    sns.heatmap(
        values,
        ax=ax,
        vmin=0,
        vmax=top,
        cmap=_BLUES,
        annot=texts if written else None,
        fmt="",
        annot_kws={"fontsize": 7},
        cbar=not written,  # a colour needs its scale where no number stands in it
        cbar_kws={"shrink": 0.6},
        square=True,
        linewidths=0.4 if written else 0,
        linecolor="#e5e5e5",
        xticklabels=labels,
        yticklabels=labels,
    )
    ax.tick_params(axis="both", length=0, labelsize=7.5)
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(axis="y", rotation=0)
    ax.grid(visible=False)
    ax.set_xlabel("predicted class")


@styled
def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> LabFigure:
    """(K, K) ``counts`` twice: as they are, and in percent of each true class (row)."""
    names = [short(name) for name in classes]
    figure, (left, right) = new_figure(7.6, 4.1, 1, 2, sharey=True)
    support = counts.sum(1, keepdims=True)
    percent = 100 * counts / np.maximum(support, 1)
    _heatmap(left, counts, max(int(support.max()), 1), "d", names)
    _heatmap(right, percent, 100, ".1f", names)
    left.set_title("images")
    left.set_ylabel("true class")
    right.set_title("percent of the true class")
    return figure


@styled
def per_class(
    rows: Sequence[Mapping[str, Any]], intervals: Sequence[tuple[float, float]], overall: float
) -> LabFigure:
    """Each class's accuracy (its recall) with its interval, and its precision, best class on top.

    ``rows`` are those of ``evaluation.per_class``, ``intervals`` the bounds that go with them.
    """
    order = sorted(range(len(rows)), key=lambda i: -rows[i]["recall"])
    names = [short(rows[i]["class"], 20) for i in order]
    recall = np.array([100 * rows[i]["recall"] for i in order])
    bounds = 100 * np.array([intervals[i] for i in order])
    places = np.arange(len(rows))
    figure, ax = new_figure(HALF[0], 0.9 + 0.2 * len(rows))
    sns.barplot(x=recall, y=places, orient="h", color=BLUE, saturation=1, width=0.7, ax=ax)
    ax.errorbar(
        recall,
        places,
        xerr=np.abs(bounds.T - recall),
        fmt="none",
        ecolor="black",
        elinewidth=1,
        capsize=2,
        label="95% interval",
    )
    precision = [100 * rows[i]["precision"] for i in order]
    ax.plot(precision, places, "D", color=ORANGE, markersize=4.5, label="precision", zorder=3)
    ax.axvline(100 * overall, color=GRAY, linestyle="--", linewidth=1.2, label="all classes")
    ax.set_yticks(places, names)
    ax.set_xlim(0, 100)
    ax.set_xlabel("accuracy on the images of the class (%)")
    ax.set_ylabel("")
    ax.grid(axis="y", visible=False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


@styled
def predictions(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
) -> LabFigure:
    """(N, H, W, 3) images, each with its prediction and confidence above its true class.

    Right ones are blue, wrong ones red and marked by a cross. Without images it says so.
    """
    if not len(images):
        figure, ax = new_figure(6.4, 0.6)
        ax.axis("off")
        ax.text(0.5, 0.5, "There is no such image.", ha="center", va="center")
        return figure
    right = [t == p for t, p in zip(true, predicted, strict=True)]
    titles = [
        f"{short(p)} {c:.0%}\n" + ("correct" if ok else f"✗ is {short(t)}")
        for t, p, c, ok in zip(true, predicted, confidence, right, strict=True)
    ]
    colors = [BLUE if ok else RED for ok in right]
    return image_grid(images, titles, columns=min(8, len(images)), size=1.0, colors=colors)


@styled
def reliability(bins: Sequence[Mapping[str, Any]], few: int = 20) -> LabFigure:
    """Accuracy against confidence per bin, with the gap between them, above the images per bin.

    ``bins`` are those of ``evaluation.reliability``; those with fewer than ``few`` images are pale.
    """
    figure, (above, below) = new_figure(*HALF, 2, 1, sharex=True, height_ratios=(3, 1))
    width = 0.92 / len(bins)
    for row in bins:
        if not row["count"]:
            continue
        middle = (row["lower"] + row["upper"]) / 2
        strength = 1 if row["count"] >= few else 0.25
        above.bar(middle, row["accuracy"], width, color=BLUE, alpha=strength)
        above.bar(
            middle,
            row["confidence"] - row["accuracy"],
            width,
            bottom=row["accuracy"],
            facecolor="none",
            edgecolor=RED,
            hatch="////",
            linewidth=0.8,
            alpha=strength,
        )
        below.bar(middle, row["count"], width, color=GRAY)
    (line,) = above.plot([0, 1], [0, 1], "--", color="black", linewidth=1.2)
    handles = {
        "accuracy": Patch(color=BLUE),
        "gap to the confidence": tuple(  # it lies above the bar or on it
            Patch(facecolor=under, edgecolor=RED, hatch="////", linewidth=0.8)
            for under in ("none", BLUE)
        ),
        f"fewer than {few} images": Patch(color=BLUE, alpha=0.25),
        "perfect": line,
    }
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0)}
    figure.legend(
        list(handles.values()),
        list(handles),
        handler_map=side_by_side,
        loc="outside upper center",
        ncols=2,
    )
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("accuracy")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.set_ylabel("images")
    below.set_xlabel("confidence (probability of the predicted class)")
    return figure
