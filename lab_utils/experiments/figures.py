"""The figures of notebook 07 and of the report's comparison: several recipes in one picture.

Of more than twelve recipes they show the best of each experiment.
"""

from collections.abc import Iterable, Sequence
from itertools import cycle
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter
import numpy as np
import pandas as pd
import seaborn as sns

from lab_utils.core.drawing import BLUE, GRAY, ORANGE, Drawing, LabFigure, new_figure, styled
from lab_utils.experiments.effects import Effect
from lab_utils.experiments.recipes import Group, overview

# What the runs' machines and their other work leave the same, and the axis' name, in millions.
_COSTS = {"parameters": "million parameters", "flops": "MFLOP of one image"}


@styled
def compared_curves(groups: Sequence[Group], own: Group | None = None) -> Drawing:
    """Validation accuracy by epoch, a panel for each: the mean over the seeds, lowest to highest.

    Where early stopping made the seeds differ in length, the curve ends with the shortest.
    """
    shown, some = _shown(groups, own)
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    size = max(2.6, 1.9 * columns), 1.55 * rows
    figure, axes = new_figure(*size, rows, columns, squeeze=False, sharey=True)
    best = max(g.val_accuracy for g in shown.values())
    for ax, (name, g) in zip(axes.flat, shown.items(), strict=False):
        length = min(len(r.history) for r in g.results)
        seeds = [[epoch.val_accuracy for epoch in r.history[:length]] for r in g.results]
        epochs, color = range(1, length + 1), ORANGE if g is own else BLUE
        ax.axhline(best, color=GRAY, linestyle=":", linewidth=1)
        ax.plot(epochs, np.mean(seeds, 0), color=color, marker="." if length == 1 else None)
        ax.fill_between(epochs, np.min(seeds, 0), np.max(seeds, 0), color=color, alpha=0.3)
        short = "\n".join(textwrap.wrap(name, 28, max_lines=2, placeholder=" …"))
        ax.set_title(f"{short}\n{g.val_accuracy:.1%}", fontsize=8)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("validation accuracy", fontsize=9)
    low, high = (choose(shown.values(), key=lambda g: g.val_accuracy) for choose in (min, max))
    return Drawing(
        "compared_curves",
        figure,
        f"Validation accuracy by epoch{some}: the mean over the seeds, and a band from the lowest "
        "to the highest of them. Below each name stands the accuracy at the chosen epoch; the "
        "dotted line is the highest of these. Each panel has its own number of epochs.",
        f"A curve for each of {len(shown)} recipes; the chosen epochs reach from "
        f"{low.val_accuracy:.1%} ({low.label}) to {high.val_accuracy:.1%} ({high.label}).",
    )


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The indices of the points that no other beats in both, by rising cost."""
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -accuracies[i])):
        if not front or accuracies[i] > accuracies[front[-1]]:
            front.append(i)
    return front


@styled
def compared_pareto(groups: Sequence[Group], own: Group | None = None) -> Drawing:
    """Test accuracy against parameters and operations; the Pareto front is joined."""
    shown, some = _shown(groups, own)
    frame = pd.DataFrame([g.row for g in shown.values()])
    below, above = frame.accuracy - frame.low, frame.high - frame.accuracy
    looks = _looks(shown)
    figure, axes = new_figure(7.0, 2.7, 1, len(_COSTS), sharey=True)
    for ax, (cost, label) in zip(axes, _COSTS.items(), strict=True):
        same = frame.groupby(cost)[cost]  # these stand side by side
        place = frame[cost] / 1e6 * 1.06 ** (same.cumcount() - (same.transform("size") - 1) / 2)
        front = pareto_front(frame[cost], frame.accuracy)
        ax.plot(place[front], frame.accuracy[front], color=GRAY, lw=1, zorder=1)
        ax.errorbar(place, frame.accuracy, [below, above], fmt="none", ecolor=GRAY, elinewidth=1)
        for x, y, look in zip(place, frame.accuracy, looks.values(), strict=True):
            ax.plot(x, y, markersize=7, **look)
        _logarithmic_x(ax, place.min() / 1.5, place.max() * 1.5)
        ax.set_xlabel(f"{label} (logarithmic)")
    # The interval of two seeds may be so wide that it has to be cut.
    low = max(frame.low.min(), frame.accuracy.min() - 0.03)
    high = min(frame.high.max(), frame.accuracy.max() + 0.03)
    axes[0].set_ylim(low - 0.05 * (high - low), min(1.0, high + 0.05 * (high - low)))
    _finish(figure, axes[0], "test accuracy", looks)
    names = list(shown)
    best = ", ".join(names[i] for i in pareto_front(frame.parameters, frame.accuracy))
    return Drawing(
        "compared_pareto",
        figure,
        f"Test accuracy{some} with its 95% interval against the parameters and the operations of "
        "one image, on logarithmic axes; equal costs stand side by side. The line joins those that "
        f"no cheaper one equals; by parameters: {best}.",
        f"Two scatter plots of {len(shown)} recipes, accuracy against cost on a logarithmic "
        f"scale; against parameters the front is made of {best}.",
    )


@styled
def compared_sensitivity(effects: Sequence[Effect]) -> Drawing:
    """Validation accuracy by the value of a setting, a panel for each; at least one effect."""
    settings = list(dict.fromkeys(effect.setting for effect in effects))
    looks = _looks(dict.fromkeys(effect.group.experiment for effect in effects))
    width = max(3.6, min(7.6, 3.0 * len(settings)))
    figure, axes = new_figure(width, 2.3, 1, len(settings), squeeze=False, sharey=True)
    for ax, setting in zip(axes.flat, settings, strict=True):
        panel = [effect for effect in effects if effect.setting == setting]
        values = sorted({effect.value for effect in panel})
        ax.set_xticks(range(len(values)), values)
        ax.set_xlim(-0.4, len(values) - 0.6)
        ax.set_xlabel(setting)
        if len("".join(map(str, values))) * len(settings) > 30:
            ax.tick_params(axis="x", rotation=20)
        for name in dict.fromkeys(effect.group.experiment for effect in panel):
            tried = [effect for effect in panel if effect.group.experiment == name]
            seeds = [[r.val_accuracy for r in effect.group.results] for effect in tried]
            means = np.array([effect.group.val_accuracy for effect in tried])
            ends = [means - list(map(min, seeds)), list(map(max, seeds)) - means]
            line = "none" if setting == "model" else "-"  # a line joins numbers
            places = [values.index(effect.value) for effect in tried]
            ax.errorbar(places, means, ends, linestyle=line, markersize=7, **looks[name])
    _finish(figure, axes[0, 0], "validation accuracy", looks)
    low, *_, high = sorted(effects, key=lambda effect: effect.group.val_accuracy)
    return Drawing(
        "compared_sensitivity",
        figure,
        "Validation accuracy where one setting alone was varied: the mean over the seeds, and a "
        "bar from the lowest to the highest of them.",
        f"Mean validation accuracy by {', '.join(settings)}, from {low.group.val_accuracy:.1%} "
        f"with {low.setting}={low.value} to {high.group.val_accuracy:.1%} with "
        f"{high.setting}={high.value}.",
    )


def _shown(groups: Sequence[Group], own: Group | None) -> tuple[dict[str, Group], str]:
    """What is drawn, by its name in the legend, and how a caption says that it is not all."""
    shown = overview(groups, own, most=12)
    names = [g.label + " (this run)" * (g is own) for g in shown]
    recipes = len(overview(groups, own, most=len(groups)))
    some = "" if len(shown) == recipes else f" of {len(shown)} of the {recipes} recipes"
    return dict(zip(names, shown, strict=True)), some


def _looks(recipes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each name; they repeat where there are more than fifteen."""
    colors = [*sns.color_palette("colorblind"), *sns.color_palette("dark")][:15]
    looks = zip(recipes, cycle(colors), cycle("oXsPD^v<>dph*H8"))
    return {n: {"color": c, "marker": m, "markeredgecolor": "white"} for n, c, m in looks}


def _logarithmic_x(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers, few enough to be read."""
    ax.set_xscale("log")
    ax.set_xlim(0.95 * low, 1.05 * high)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1, 3)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")


def _finish(figure: LabFigure, ax: Axes, label: str, looks: dict[str, dict[str, Any]]) -> None:
    """Name the shared y axis, and put the legend below, in as many columns as have room."""
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    short = [textwrap.shorten(name, 75, placeholder=" …") for name in looks]
    room = int(15 * figure.get_figwidth())  # characters in a row
    columns = max(1, min(len(short), room // (max(map(len, short)) + 6)))
    figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(short) // columns))
    figure.legend(
        [Line2D([], [], **look) for look in looks.values()], short, loc="outside lower center",
        ncols=columns, fontsize=8, labelspacing=0.3, columnspacing=1.5,
    )  # fmt: skip
