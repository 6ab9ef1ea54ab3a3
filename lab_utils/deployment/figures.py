"""The figures of notebook 06: what each format costs in time, and one picture in many forms."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import LogLocator
import numpy as np

from lab_utils.core import drawing
from lab_utils.core.drawing import Drawing, new_figure, styled
from lab_utils.deployment.compare import Format
from lab_utils.deployment.engine import Prediction
from lab_utils.setup.image_grid import image_grid


@styled
def latency(formats: Sequence[Format], threads: int) -> Drawing:
    """Milliseconds for one image, and images per second by batch size, on ``threads`` threads."""
    figure, (left, right) = new_figure(7.6, 2.9, 1, 2, width_ratios=(1, 1.25))
    colors = (drawing.BLUE, drawing.ORANGE, drawing.GREEN, drawing.PURPLE, drawing.RED)
    milliseconds = [row.latency_ms for row in formats]
    bars = left.barh([row.name for row in formats], milliseconds, color=colors)
    left.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    left.invert_yaxis()
    left.set(xlim=(0, 1.18 * max(milliseconds)), xlabel="one image, median (ms)")
    left.grid(axis="y", visible=False)
    for row, color, marker in zip(formats, colors, "os^Dv", strict=False):
        sizes, rates = list(row.throughput), list(row.throughput.values())
        right.loglog(sizes, rates, marker=marker, markersize=4.5, color=color, label=row.name)
    right.set_xticks(sizes, map(str, sizes))
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:,.0f}")
    right.minorticks_off()
    right.set(xlabel="images per call", ylabel="images per second")
    figure.legend(loc="outside upper right", ncols=len(formats), fontsize=8)
    quickest = min(formats, key=lambda row: row.latency_ms)
    return Drawing(
        "latency",
        figure,
        "Median time for one image and images per second by batch size, on the CPU "
        f"(threads: {threads}). {quickest.name} is the quickest with one image, "
        f"{quickest.latency_ms:.2f} ms.",
        f"Bars of the time for one image, from {min(milliseconds):.2f} to {max(milliseconds):.2f} "
        "ms by format; beside them, lines of images per second over the batch size.",
    )


def variants(pictures: Mapping[str, np.ndarray], predictions: Sequence[Prediction]) -> Drawing:
    """One picture in several forms, (H, W, 3) uint8 by kind, and what each is taken for."""
    answered = list(zip(pictures, predictions, strict=True))
    titles = [
        f"{kind}\n{p.label[:14]} {p.confidence:.0%}{'' if p.sure else '?'}" for kind, p in answered
    ]
    label = predictions[0].label
    alike = sum(p.label == label for p in predictions)
    answers = "; ".join(f"{kind}, {p.label} at {p.confidence:.0%}" for kind, p in answered)
    unsure = sum(not p.sure for p in predictions)
    return Drawing(
        "variants",
        image_grid(list(pictures.values()), titles, columns=len(pictures), size=1.3),
        f"The same picture in {len(pictures)} forms: {alike} of them are called {label}; of "
        f"{unsure} the engine is not sure (question mark).",
        f"A row of pictures, each with its answer: {answers}.",
    )
