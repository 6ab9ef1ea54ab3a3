"""What notebook 08 found, in sentences computed from the run; what benchmarks measured before."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from lab_utils.core.files import read_json
from lab_utils.core.params import project_root
from lab_utils.speed.profiling import StepProfile

PARTS = ("making the batch", "the forward pass", "the backward pass", "the optimiser")


def parts(spent: Sequence[Sequence[float]]) -> str:
    """The median of each of ``PARTS`` in ``spent``, rows of seconds, and which is the longest."""
    times = np.median(spent, axis=0)
    told = [f"{part} {1000 * t:.1f} ms" for part, t in zip(PARTS, times, strict=True)]
    longest = PARTS[times.argmax()]
    return (
        f"The median step: {', '.join(told[:-1])} and {told[-1]}: {longest} takes "
        f"{times.max() / times.sum():.0%} of it. The backward pass takes {times[2] / times[1]:.1f} "
        "times as long as the forward pass."
    )


def operators(spent: Mapping[str, float]) -> str:
    """How few of the operators in ``spent``, seconds by name, take half of their time."""
    times = np.sort(list(spent.values()))[::-1]
    few = int(np.searchsorted(times.cumsum(), times.sum() / 2)) + 1
    name = max(spent, key=spent.get)
    return (
        f"The profiler saw {len(times)} different operators. {name} takes most, "
        f"{times[0] / times.sum():.0%} of the time of all; the first {few} of them take half."
    )


def ways(course: StepProfile, lab: StepProfile) -> str:
    """How the two steps compare for an image, and what each spends most on."""
    ratio = course.seconds / course.images / (lab.seconds / lab.images)
    return (
        f"For each image the course's way takes {ratio:.1f} times as long as the lab's. It spends "
        f"most on {next(iter(course.shares))} ({next(iter(course.shares.values())):.0%}), the lab "
        f"on {next(iter(lab.shares))} ({next(iter(lab.shares.values())):.0%})."
    )


def reach(way: StepProfile) -> str:
    """The rate of a step, and the share of the peak that this is."""
    share = way.share_of_peak
    reached = "the limit is not measurable now, as another program takes turns with this one"
    if share is not None:
        reached = f"{share:.0%} of the {way.peak_gflops:,.0f} GFLOP/s of a matrix product"
    return f"{1000 * way.seconds:.1f} ms a step, {way.gflops:,.0f} GFLOP/s: {reached}"


def committed(name: str) -> dict[str, Any]:
    """What a benchmark wrote to ``report/results/benchmarks``; LabError where it is missing."""
    return read_json(project_root() / "report" / "results" / "benchmarks" / f"{name}.json")


def gains(measured: Mapping[str, Any]) -> str:
    """Which change of the benchmark ``changes`` bought most."""
    rows = measured["rows"]
    factors = [a["ours"] / b["ours"] for a, b in pairwise(rows)]
    best = int(np.argmax(factors)) + 1
    return (
        f"All changes together made it {rows[0]['ours'] / rows[-1]['ours']:.0f} times as fast; the "
        f"largest single one, {max(factors):.1f} times, is: {rows[best]['what']}."
    )


def rates_beside() -> list[dict[str, Any]]:
    """Images a second beside other programs, by how many threads computed; from ``busy_waits``."""
    rows = []
    for row in committed("busy_waits")["rows"]:
        beside, side = row["what"].split(": against ")
        chosen = side.startswith("itself")  # the lab's own choice, beside its quiet rate
        rows.append({
            "beside it": beside, "threads": "auto" if chosen else side,
            "images/s": row["ours" if chosen else "baseline"],
        })  # fmt: skip
    return rows


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 08 as a Markdown list, from what it recorded."""
    r = SimpleNamespace(**record)
    return f"""\
- The course's way: {reach(r.course)}.
- The lab's way: {reach(r.lab)}.
- {ways(r.course, r.lab)}"""
