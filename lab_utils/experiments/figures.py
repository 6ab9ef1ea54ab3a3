"""The figures of notebook 07 and of the report's comparison: several recipes in one picture.

Everything is keyed by the label of a recipe; the same labels in the same order look the same in
every figure. Where there is nothing to draw, the figure says so.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator
import numpy as np

from lab_utils.core.drawing import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    LabFigure,
    new_figure,
    styled,
)

_COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, GRAY, "black")


_MARKERS = "os^Dvp"  # one fewer than colours: 42 recipes look different in both


_LINES = ("-", "--", ":", "-.")


_COSTS = (
    ("seconds", "training (s)", 1.0),
    ("parameters", "parameters", 1.0),
    ("flops", "forward pass (MFLOP)", 1e-6),
)


def _looks(labels: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line of each label."""
    lines = (line for line in cycle(_LINES) for _ in _COLORS)
    each = zip(labels, cycle(_COLORS), cycle(_MARKERS), lines, strict=False)
    return {label: look for label, *look in each}


def _nothing(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=GRAY)
    ax.grid(False)
    ax.tick_params(bottom=False, labelbottom=False, left=False, labelleft=False)


def _legend(figure: LabFigure, handles: Mapping[str, Any]) -> None:
    """One legend below all panels, in as many columns as fit beside each other."""
    short = [textwrap.shorten(label, 75, placeholder=" …") for label in handles]
    room = 15 * figure.get_figwidth()  # characters
    for columns in range(min(6, len(short)), 0, -1):
        rows = -(-len(short) // columns)
        widths = [max(map(len, short[i : i + rows])) + 6 for i in range(0, len(short), rows)]
        if sum(widths) <= room:
            break
    figure.set_figheight(figure.get_figheight() + 0.19 * rows)
    figure.legend(
        handles.values(), short, loc="outside lower center", ncols=len(widths), fontsize=8,
        labelspacing=0.3, columnspacing=1.5,
    )  # fmt: skip


@styled
def curves(histories: Mapping[str, Sequence[Sequence[float]]]) -> LabFigure:
    """Validation accuracy by epoch: the mean over the seeds and a band from lowest to highest.

    ``histories`` has, of each recipe, a list of accuracies (fractions of 1) for each seed. Where
    early stopping made them differ in length, the curve ends with the shortest.
    """
    figure, ax = new_figure(6.4, 2.9)
    looks, handles = _looks(list(histories)), {}
    lengths = [min(map(len, seeds)) for seeds in histories.values()]
    for (label, seeds), length in zip(histories.items(), lengths, strict=True):
        color, marker, line = looks[label]
        values = 100 * np.array([seed[:length] for seed in seeds])
        epochs = np.arange(1, length + 1)
        (handles[label],) = ax.plot(
            epochs, values.mean(0), line, color=color, marker=marker, markersize=3.5,
            markevery=max(1, length // 8),
        )  # fmt: skip
        if len(values) > 1:
            ax.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.18, lw=0)
    if not histories:
        _nothing(ax, "no run to draw")
        return figure
    if max(lengths) >= 5 * min(lengths):  # or the short trainings are lost at the left edge
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation accuracy (%)")
    _legend(figure, handles)
    return figure


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The indices of the points that no other beats in both, by rising cost."""
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -accuracies[i])):
        if not front or accuracies[i] > accuracies[front[-1]]:
            front.append(i)
    return front


@styled
def pareto(rows: Sequence[Mapping[str, Any]]) -> LabFigure:
    """Test accuracy against training time, parameters and FLOPs; the Pareto front is joined.

    ``rows`` are those of ``lab_utils.comparison.rows`` with a ``label``. A cost that is None is
    left out of its panel.
    """
    figure, axes = new_figure(7.6, 2.5, 1, 3, sharey=True)
    looks, handles = _looks([row["label"] for row in rows]), {}
    for ax, (key, name, scale) in zip(axes, _COSTS, strict=True):
        known = [row for row in rows if row[key] is not None]
        ax.set_xlabel(name)
        if not known:
            _nothing(ax, "not known")
            continue
        costs = [scale * row[key] for row in known]
        accuracies = [100 * row["accuracy"] for row in known]
        front = pareto_front(costs, accuracies)
        ax.plot(
            [costs[i] for i in front], [accuracies[i] for i in front], color=GRAY, lw=1, zorder=1
        )
        for row, cost, accuracy in zip(known, costs, accuracies, strict=True):
            color, marker, _ = looks[row["label"]]
            ends = [[accuracy - 100 * row["low"]], [100 * row["high"] - accuracy]]
            handles[row["label"]] = ax.errorbar(
                cost, accuracy, np.clip(ends, 0, None), fmt=marker, color=color, markersize=5.5,
                elinewidth=1, ls="none",
            )  # fmt: skip
        _cost_axis(ax, costs)
    if rows:
        axes[0].set_ylabel("test accuracy (%)")
        # The interval of two seeds may be so wide that it has to be cut.
        low = min(100 * max(row["low"], row["accuracy"] - 0.03) for row in rows)
        high = max(100 * min(row["high"], row["accuracy"] + 0.03) for row in rows)
        margin = 0.05 * (high - low)
        axes[0].set_ylim(low - margin, min(100.0, high + margin))
        _legend(figure, {row["label"]: handles[row["label"]] for row in rows})
    return figure


def _cost_axis(ax: Axes, costs: Sequence[float]) -> None:
    """Logarithmic, with three to five plain numbers on it."""
    ax.set_xscale("log")
    low, high = min(costs), max(costs)
    if high < 1.5 * low:
        low, high = low / 1.5, high * 1.5
    ax.set_xlim(low / (high / low) ** 0.08, high * (high / low) ** 0.08)
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
        if len(ticks) <= 5:
            break
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: _plain(value))


def _order(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return not number, value if number else str(value)


def _plain(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


@styled
def sensitivity(effects: Sequence[Mapping[str, Any]]) -> LabFigure:
    """Validation accuracy by the value of a setting, a panel for each; the chosen value is filled.

    ``effects``: ``experiment``, ``setting``, ``value``, ``chosen`` and ``val_accuracies``, one
    fraction of 1 for each seed, of each value tried. A line joins the means of numbers.
    """
    settings = list(dict.fromkeys(effect["setting"] for effect in effects))
    figure, axes = new_figure(
        max(3.6, min(7.6, 3.0 * len(settings))), 2.3, 1, max(1, len(settings)), squeeze=False,
        sharey=True,
    )  # fmt: skip
    looks = _looks(list(dict.fromkeys(effect["experiment"] for effect in effects)))
    handles: dict[str, Any] = {}
    turned = 0  # the letters of the longest value that does not fit upright
    if not effects:
        _nothing(axes[0, 0], "no setting was varied")
        return figure
    for ax, setting in zip(axes.flat, settings, strict=True):
        mine = [effect for effect in effects if effect["setting"] == setting]
        values = [str(value) for value in sorted({e["value"] for e in mine}, key=_order)]
        for label, look in looks.items():
            if own := [effect for effect in mine if effect["experiment"] == label]:
                handles[label] = _tried(ax, own, values, *look)
        ax.set_xticks(range(len(values)), values)
        ax.set_xlim(-0.5, len(values) - 0.5)
        if max(map(len, values)) > 40 / len(values) / len(settings):
            ax.tick_params(axis="x", rotation=20)
            turned = max(turned, *map(len, values))
            for label in ax.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        ax.set_xlabel(setting)
    axes[0, 0].set_ylabel("validation accuracy (%)")
    figure.set_figheight(figure.get_figheight() + 0.025 * turned)
    _legend(figure, handles)
    return figure


def _tried(
    ax: Axes,
    own: Sequence[Mapping[str, Any]],
    values: list[str],
    color: str,
    marker: str,
    line: str,
) -> Any:
    """What one experiment tried of a setting; the line of its means."""
    places = [values.index(str(effect["value"])) for effect in own]
    means = [100 * np.mean(effect["val_accuracies"]) for effect in own]
    joined = line if all(isinstance(e["value"], int | float) for e in own) else "none"
    (handle,) = ax.plot(
        places, means, ls=joined, color=color, marker=marker, markerfacecolor="white"
    )  # fmt: skip
    for place, mean, effect in zip(places, means, own, strict=True):
        scores = [100 * score for score in effect["val_accuracies"]]
        ax.plot([place] * len(scores), scores, "_", color=color, markersize=9)
        if effect["chosen"]:
            ax.plot(place, mean, marker, color=color)
    return handle
