"""The figures of notebook 09: where the model looks, and what breaks it."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
import pandas as pd
from torch import Tensor

from lab_utils.core import drawing
from lab_utils.core.drawing import BLUE, Drawing, new_figure, styled
from lab_utils.core.image_grid import ImageGrid
from lab_utils.evaluation.figures import short
from lab_utils.insight.attacks import EPSILONS, STRONG
from lab_utils.insight.corruptions import Accuracy
from lab_utils.insight.gradcam import Look

_PANELS = {  # corruption: title, unit
    "noise": ("Gaussian noise", "deviation\n(grey levels)"),
    "blur": ("Gaussian blur", "deviation\n(pixels)"),
    "jpeg": ("JPEG", "quality\n(of 100)"),
}


@styled
def grad_cam(images: Tensor, looks: Sequence[Look], names: Sequence[Sequence[str]]) -> Drawing:
    """Two images a row: each, its heat for two classes, and the maps that add most to the first.

    ``images`` (N, 3, H, W) uint8; ``looks`` two for these images; ``names`` the classes of each
    image: the true one and those of both looks.
    """
    first, images = looks[0], images.permute(0, 2, 3, 1).numpy()
    wide, side = 3 + first.maps.shape[1], min(2, len(images))
    grid = ImageGrid(-(-len(images) // side), wide * side, size=0.7, lines=2)
    for i, (image, gray) in enumerate(zip(images, images.mean(3), strict=True)):
        places = iter([(i // side, i % side * wide + column) for column in range(wide)])
        grid.show(next(places), image, short(names[0][i], 10))
        for look, name in zip(looks, names[1:], strict=True):
            place = next(places)
            title = f"heat:\n{short(name[i], 10)}"
            grid.show(place, gray, title, cmap="gray", vmin=0, vmax=255)
            grid.show(place, look.heat[i].numpy(), cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        for channel in first.maps[i].numpy():  # each with a scale of its own
            grid.show(next(places), channel, f"map adds\n{channel.sum():+.2f}", cmap="gray")
    cells = "x".join(map(str, first.maps.shape[-2:]))
    return Drawing(
        "grad_cam",
        grid.figure,
        f"Grad-CAM on maps of {cells} cells: the image with its true class, the heat of the "
        "predicted class and of a rival, and the three maps that add most to the logit of the "
        "predicted class, with what each adds.",
        f"Rows for {len(images)} images, two in each: the image, the same in gray under two heat "
        "maps, and three feature maps in gray, bright where they speak for the class.",
    )


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


def _with_interval(ax: Axes, places: Sequence[float], rows: pd.DataFrame, **look: object) -> None:
    ends = rows[["low", "high"]].sub(rows.accuracy, axis=0).abs().T
    if ax.get_subplotspec().is_first_col():
        ax.set(ylim=(0, 1), ylabel="accuracy")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.errorbar(places, rows.accuracy, ends, markersize=4.5, elinewidth=1, capsize=2, **look)
