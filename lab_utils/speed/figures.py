"""The figures of notebook 04: the schedule, the curves, and where a step's time goes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab_utils.core.drawing import BLUE, GRAY, ORANGE, LabFigure, new_figure, styled


@styled
def step_time(course: Mapping[str, float], lab: Mapping[str, float]) -> LabFigure:
    """Milliseconds of a training step by kind of operator, the course's way and the lab's.

    Both have the same keys, in the order of the bars from above.
    """
    figure, ax = new_figure(6.4, 0.7 + 0.2 * len(course))
    places = np.arange(len(course))
    for shift, side, color, label in ((-0.2, course, ORANGE, "course"), (0.2, lab, BLUE, "lab")):
        total = f"{label}: {sum(side.values()):.1f} ms a step"
        bars = ax.barh(places + shift, list(side.values()), 0.38, color=color, label=total)
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=7, color=GRAY)
    ax.set_yticks(places, list(course))
    ax.invert_yaxis()
    ax.set_xlabel("milliseconds of a training step")
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right")
    return figure


@styled
def changes(rows: Sequence[Mapping[str, Any]]) -> LabFigure:
    """Seconds of a whole training after each change, as ``benchmarks.changes`` measured them.

    A row holds ``what`` and ``ours``, its seconds; the first is the recipe that all began with.
    """
    figure, ax = new_figure(6.4, 0.7 + 0.3 * len(rows))
    seconds = [row["ours"] for row in rows]
    bars = ax.barh(range(len(rows)), seconds, 0.7, color=[ORANGE] + [BLUE] * (len(rows) - 1))
    times = [f"{s:,.0f} s, {seconds[0] / s:.1f} times as fast" for s in seconds]
    ax.bar_label(bars, [f"{seconds[0]:,.0f} s", *times[1:]], padding=3, fontsize=8, color=GRAY)
    ax.set_yticks(range(len(rows)), [row["what"] for row in rows])
    ax.set_xlim(0, 1.3 * max(seconds))
    ax.invert_yaxis()
    ax.set_xlabel("seconds of training")
    ax.grid(axis="y", visible=False)
    return figure
