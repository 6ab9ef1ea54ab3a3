"""The figures of speed: where a step's time goes, and what each change to the course bought."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lab_utils.core.drawing import BLUE, GRAY, ORANGE, Drawing, new_figure, styled
from lab_utils.speed.profiling import StepProfile


@styled
def step_time(course: StepProfile, lab: StepProfile) -> Drawing:
    """Milliseconds of a training step by kind of operator, the course's way and the lab's."""
    kinds = list(course.shares | lab.shares)
    kinds.sort(key=lambda kind: -max(course.milliseconds(kind), lab.milliseconds(kind)))
    ways = {"course": course, "lab": lab}
    times = {name: [way.milliseconds(kind) for kind in kinds] for name, way in ways.items()}
    figure, ax = new_figure(6.4, 0.7 + 0.2 * len(kinds))
    pd.DataFrame(times, kinds).plot.barh(ax=ax, color=[ORANGE, BLUE], width=0.76)
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=7, color=GRAY)
    ax.invert_yaxis()
    ax.set_xlabel("milliseconds of a training step")
    ax.grid(axis="y", visible=False)
    return Drawing(
        "step_time",
        figure,
        f"One training step of {lab.images} images by kind of operator: "
        f"{1000 * course.seconds:.1f} ms the course's way (of {course.images} images, in float32), "
        f"{1000 * lab.seconds:.1f} ms the lab's way. For each image the course takes "
        f"{course.seconds / course.images / (lab.seconds / lab.images):.1f} times as long.",
        f"Pairs of horizontal bars, milliseconds the course's way and the lab's, for {len(kinds)} "
        f"kinds of operator; the longest pair is {kinds[0]}.",
    )


@styled
def changes(measured: Mapping[str, Any]) -> Drawing:
    """Seconds of a whole training after each change, as ``findings.committed`` reads it."""
    rows, where = measured["rows"], measured["machine"]
    figure, ax = new_figure(6.4, 0.7 + 0.3 * len(rows))
    seconds = [row["ours"] for row in rows]
    names, colors = [row["what"] for row in rows], [ORANGE] + [BLUE] * (len(rows) - 1)
    bars = ax.barh(range(len(rows)), seconds, 0.7, tick_label=names, color=colors)
    times = [f"{s:,.0f} s, {seconds[0] / s:.1f} times as fast" for s in seconds]
    times[0] = f"{seconds[0]:,.0f} s"
    ax.bar_label(bars, times, padding=3, fontsize=8, color=GRAY)
    ax.set(xlim=(0, 1.3 * max(seconds)), xlabel="seconds of training")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return Drawing(
        "changes",
        figure,
        f"What each change bought, on {where['cpu']}, {where['cores']} cores, "
        f"{where['gpu'] or 'no GPU'}: from {seconds[0]:,.0f} s to {min(seconds):,.0f} s.",
        f"Horizontal bars of the seconds of a training, one for each of {len(rows)} stages, from "
        f"{names[0]} to {names[-1]}.",
    )
