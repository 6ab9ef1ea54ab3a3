"""The curves of notebook 09: what damage, attacks and training do."""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, PercentFormatter
import numpy as np
import pandas as pd

from lab_utils.core import drawing
from lab_utils.core.drawing import BLUE, Drawing, new_figure, styled
from lab_utils.insight.attacks import EPSILONS, STRONG
from lab_utils.insight.corruptions import Accuracy

_PANELS = {  # corruption: title, unit
    "noise": ("Gaussian noise", "deviation\n(grey levels)"),
    "blur": ("Gaussian blur", "deviation\n(pixels)"),
    "jpeg": ("JPEG", "quality\n(of 100)"),
}


@styled
def corruptions(rows: Sequence[Accuracy], clean: Accuracy) -> Drawing:
    """A panel per corruption: accuracy over strength, with intervals; dashed: ``clean`` images."""
    frame = pd.DataFrame(rows)
    kinds = frame.groupby("damage", sort=False)
    figure, axes = new_figure(4.7, 2.7, 1, len(kinds), sharey=True, squeeze=False)
    for ax, (kind, chosen) in zip(axes[0], kinds, strict=True):
        title, unit = _PANELS[kind]
        places, dashed = range(len(chosen)), {"linestyle": "--", "linewidth": 1.2}
        ax.axhline(clean.accuracy, color=drawing.GRAY, label="undamaged", **dashed)
        ax.axhspan(clean.low, clean.high, color=drawing.GRAY, alpha=0.15, linewidth=0)
        _with_interval(ax, places, chosen, color=BLUE, marker="o", label="damaged")
        ax.set_xticks(places, [f"{strength:g}" for strength in chosen.strength])
        ax.set(title=title, xlabel=unit, xlim=(-0.4, len(chosen) - 0.6))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    hardest = frame.loc[frame.accuracy.idxmin()]
    return Drawing(
        "corruptions",
        figure,
        f"Accuracy on {clean.images} damaged test images with 95% intervals; undamaged it is "
        f"{clean.accuracy:.1%}, on average over the {len(rows)} kinds and strengths "
        f"{frame.accuracy.mean():.1%}, and lowest under {hardest.damage} of strength "
        f"{hardest.strength:g} ({hardest.accuracy:.1%}).",
        "Line plots of accuracy over the strength of noise, blur and JPEG compression, each with a "
        "dashed line for undamaged images.",
    )


@styled
def attacks(rows: Sequence[Accuracy], guessing: float) -> Drawing:
    """Accuracy with its interval over the largest change of a pixel, a curve per attack.

    ``guessing`` is what chance alone would score, as a fraction of 1.
    """
    frame = pd.DataFrame(rows)
    figure, ax = new_figure(3.3, 2.7)
    for name, color, marker in (("FGSM", BLUE, "o"), ("PGD", drawing.ORANGE, "s")):
        chosen = frame[frame.damage == name]
        _with_interval(ax, chosen.strength, chosen, color=color, marker=marker, label=name)
    drawing.guessing_line(ax, guessing, "guessing")
    ax.set(xticks=EPSILONS, xlabel="largest change (grey levels of 255)")
    ax.set_xlim(-0.3, 1.4 * max(EPSILONS))  # the label of guessing stands right of the last point
    ax.legend(loc="upper right")
    strong = frame[frame.strength == STRONG].set_index("damage").accuracy
    return Drawing(
        "attacks",
        figure,
        f"Accuracy on {rows[0].images} test images under attack, with 95% intervals. A change of "
        f"at most {STRONG} grey levels takes it from {rows[0].accuracy:.1%} to {strong.FGSM:.1%} "
        f"(FGSM) and {strong.PGD:.1%} (PGD).",
        "Line plot of accuracy over the largest change of a pixel: a falling curve for FGSM, one "
        "for PGD, and a dotted line at guessing.",
    )


@styled
def gradients(slopes: Sequence[Sequence[float]], moves: Sequence[Sequence[float]]) -> Drawing:
    """Norms by step: of each layer's gradient, and of its step as a share of its weights.

    A row for each step, a number for each layer, the first layer first.
    """
    figure, axes = new_figure(6.4, 2.7, 1, 2)
    titles = ("length of the gradient", "length of the step / length of the weights")
    for ax, rows, title in zip(axes, (slopes, moves), titles, strict=True):
        ax.set_prop_cycle(color=colormaps["viridis"](np.linspace(0, 0.9, len(rows[0]))))
        lines = ax.plot(range(1, len(rows) + 1), rows, linewidth=1.2)
        ax.set(yscale="log", xlabel="step", title=title)
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-4 * np.max(rows)))  # a schedule ends at zero
        ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        drawing.whole_numbers(ax.xaxis)
    axes[1].axhline(1e-3, color=drawing.GRAY, linestyle=":", linewidth=1.2)
    ends = {"first layer": lines[0], "last layer": lines[-1]}
    figure.legend(ends.values(), ends.keys(), loc="outside upper right", ncols=2)
    return Drawing(
        "gradients",
        figure,
        f"The first {len(slopes)} steps of a training, a curve for each of {len(slopes[0])} "
        "layers, the first dark, the last light: the length (norm) of the gradient of its weights, "
        "and how far a step moves them, as a share of their length. Dotted: a thousandth.",
        "Two panels of curves on logarithmic axes over the steps of a training, one curve a layer.",
    )


def _with_interval(ax: Axes, places: Sequence[float], rows: pd.DataFrame, **look: object) -> None:
    ends = rows[["low", "high"]].sub(rows.accuracy, axis=0).abs().T
    if ax.get_subplotspec().is_first_col():
        ax.set(ylim=(0, 1), ylabel="accuracy")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.errorbar(places, rows.accuracy, ends, markersize=4.5, elinewidth=1, capsize=2, **look)
