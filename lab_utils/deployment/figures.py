"""The figure of notebook 06: what each format costs in time."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import LogLocator, NullLocator

from lab_utils.core.drawing import BLUE, GREEN, ORANGE, PURPLE, LabFigure, new_figure, styled

_LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"))


@styled
def latency(formats: Sequence[Mapping[str, Any]]) -> LabFigure:
    """Milliseconds for one image, and images per second by batch size, of each format.

    ``formats`` are the rows of ``deployment.json``.
    """
    figure, (left, right) = new_figure(7.6, 2.9, 1, 2, width_ratios=(1, 1.25))
    names = [row["name"] for row in formats]
    looks = [_LOOKS[i % len(_LOOKS)] for i in range(len(formats))]
    bars = left.barh(names, [row["latency_ms"] for row in formats], color=[c for c, _ in looks])
    left.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    left.invert_yaxis()
    left.set_xlim(0, 1.18 * max(row["latency_ms"] for row in formats))
    left.set_xlabel("one image, median (ms)")
    left.grid(axis="y", visible=False)
    for row, (color, marker) in zip(formats, looks, strict=True):
        sizes = [int(size) for size in row["throughput"]]
        rates = list(row["throughput"].values())
        right.plot(sizes, rates, marker=marker, markersize=4.5, color=color, label=row["name"])
    right.set_xscale("log", base=2)
    right.set_xticks(sizes, [str(size) for size in sizes])
    right.xaxis.set_minor_locator(NullLocator())
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter("{x:,.0f}")
    right.set_xlabel("images per call")
    right.set_ylabel("images per second")
    figure.legend(
        *right.get_legend_handles_labels(),
        loc="outside upper right",
        ncols=len(formats),
        fontsize=8,
    )
    return figure
