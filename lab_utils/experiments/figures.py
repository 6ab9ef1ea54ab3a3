"""The figures of notebook 07 and of the report's comparison: several recipes in one picture.

Of more than twelve recipes they show ``recipes.overview``, and a recipe looks the same in each.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter
import pandas as pd
import seaborn as sns

from lab_utils.core.drawing import GRAY, Drawing, LabFigure, new_figure, styled, whole_numbers
from lab_utils.experiments.effects import Effect, value_order
from lab_utils.experiments.recipes import Group, overview

_COSTS = (  # what each costs, how much of it is 1 on the axis, and the axis' name
    ("seconds", 1, "training (s)"),
    ("parameters", 1e6, "parameters (millions)"),
    ("flops", 1e6, "one image (MFLOP)"),
)


@styled
def compared_curves(groups: Sequence[Group], own: Group | None = None) -> Drawing:
    """Validation accuracy by epoch: the mean over the seeds and a band from lowest to highest.

    Where early stopping made the seeds differ in length, the curve ends with the shortest.
    """
    shown, some = _shown(groups, own)
    lengths = {label: min(len(r.history) for r in g.results) for label, g in shown.items()}
    rows = [
        {"recipe": label, "epoch": epoch.epoch, "accuracy": epoch.val_accuracy}
        for label, g in shown.items()
        for result in g.results
        for epoch in result.history[: lengths[label]]
    ]
    options = {"x": "epoch", "y": "accuracy", "errorbar": ("pi", 100), "markersize": 5}
    figure, ax = new_figure(6.4, 2.9)
    sns.lineplot(pd.DataFrame(rows), ax=ax, **options, **_looks(shown))
    for line, length in zip(ax.lines, lengths.values(), strict=False):
        line.set_markevery(max(1, length // 8))
    whole_numbers(ax.xaxis)
    longest, shortest = max(lengths.values()), min(lengths.values())
    scale = ""
    if longest >= 5 * shortest:  # or short trainings are lost at the left edge
        scale = " The axis of epochs is logarithmic."
        _logarithmic_x(ax, 1, longest)
        ax.set_xlabel("epoch (logarithmic)")
    _finish(figure, ax, "validation accuracy")
    low, high = (choose(shown.values(), key=lambda g: g.val_accuracy) for choose in (min, max))
    return Drawing(
        "compared_curves",
        figure,
        f"Validation accuracy by epoch{some}: the mean over the seeds, and a band from the lowest "
        f"to the highest of them.{scale}",
        f"Curves of {len(shown)} recipes; the chosen epochs reach from {low.val_accuracy:.1%} "
        f"({low.label}) to {high.val_accuracy:.1%} ({high.label}).",
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
    """Test accuracy against training time, parameters and FLOPs; the Pareto front is joined."""
    shown, some = _shown(groups, own)
    frame = pd.DataFrame([g.row | {"recipe": label} for label, g in shown.items()])
    figure, axes = new_figure(7.6, 2.5, 1, 3, sharey=True)
    for ax, (cost, one, name) in zip(axes, _COSTS, strict=True):
        _costs(ax, frame, frame[cost] / one, _looks(shown))
        ax.set_xlabel(name)
    # The interval of two seeds may be so wide that it has to be cut.
    low = max(frame.low.min(), frame.accuracy.min() - 0.03)
    high = min(frame.high.max(), frame.accuracy.max() + 0.03)
    axes[0].set_ylim(low - 0.05 * (high - low), min(1.0, high + 0.05 * (high - low)))
    _finish(figure, axes[0], "test accuracy")
    best = ", ".join(frame.recipe.iloc[pareto_front(frame.parameters, frame.accuracy)])
    return Drawing(
        "compared_pareto",
        figure,
        f"Test accuracy{some} with its 95% interval against training time, parameters and the "
        "operations of one image, on logarithmic axes; equal costs stand side by side. The line "
        f"joins those that no cheaper one equals; by parameters: {best}. Times can be compared "
        "only between runs made alike on the same machine.",
        f"Three scatter plots of {len(shown)} recipes, accuracy against cost on a logarithmic "
        f"scale; against parameters the front is made of {best}.",
    )


def _costs(ax: Axes, recipes: pd.DataFrame, cost: pd.Series, looks: dict[str, Any]) -> None:
    """A point for each of the ``recipes`` with its interval, and the front."""
    same = cost.groupby(cost)
    place = cost * 1.06 ** (same.cumcount() - (same.transform("size") - 1) / 2)
    front = pareto_front(list(cost), list(recipes.accuracy))
    ax.plot(place.iloc[front], recipes.accuracy.iloc[front], color=GRAY, lw=1, zorder=1)
    ends = [recipes.accuracy - recipes.low, recipes.high - recipes.accuracy]
    ax.errorbar(place, recipes.accuracy, ends, fmt="none", ecolor=GRAY, elinewidth=1, zorder=1)
    sns.scatterplot(recipes, x=place, y="accuracy", s=36, ax=ax, **looks)
    _logarithmic_x(ax, place.min() / 1.5, place.max() * 1.5)


@styled
def compared_sensitivity(effects: Sequence[Effect]) -> Drawing:
    """Validation accuracy by the value of a setting, a panel for each; at least one effect.

    A line joins the means of numbers; a dash is a seed, and the chosen value has a ring.
    """
    settings = list(dict.fromkeys(effect.setting for effect in effects))
    width = max(3.6, min(7.6, 3.0 * len(settings)))
    figure, axes = new_figure(width, 2.3, 1, len(settings), squeeze=False, sharey=True)
    looks = _looks(dict.fromkeys(effect.group.experiment for effect in effects))
    for ax, setting in zip(axes.flat, settings, strict=True):
        ax.set_xlabel(setting)
        _tried(ax, [effect for effect in effects if effect.setting == setting], looks)
        longest = max(len(tick.get_text()) for tick in ax.get_xticklabels())
        if longest * len(ax.get_xticks()) * len(settings) > 40:
            ax.tick_params(axis="x", rotation=20)
    _finish(figure, axes[0, 0], "validation accuracy")
    low, *_, high = sorted(effects, key=lambda effect: effect.group.val_accuracy)
    return Drawing(
        "compared_sensitivity",
        figure,
        "Validation accuracy where one setting alone was varied: the mean, a dash for each seed, "
        "and a ring around the best value.",
        f"Mean validation accuracy by {', '.join(settings)}, from {low.group.val_accuracy:.1%} "
        f"with {low.setting}={low.value} to {high.group.val_accuracy:.1%} with "
        f"{high.setting}={high.value}.",
    )


def _tried(ax: Axes, effects: Sequence[Effect], looks: dict[str, Any]) -> None:
    """The values of one setting that were tried."""
    values = sorted({effect.value for effect in effects}, key=value_order)
    rows = [
        {"value": str(e.value), "accuracy": r.val_accuracy, "recipe": e.group.experiment}
        for e in effects
        for r in e.group.results
    ]
    line = "-" if all(isinstance(value, int | float) for value in values) else "none"
    options = {key: looks[key] for key in ("hue", "hue_order", "palette")} | {
        "data": pd.DataFrame(rows), "x": "value", "order": list(map(str, values)),
        "y": "accuracy", "ax": ax,
    }  # fmt: skip
    sns.stripplot(**options, marker="_", jitter=False, linewidth=1.2, size=9, legend=False)
    sns.pointplot(**options, errorbar=None, linestyles=line, lw=1.6, markersize=5)
    for best in (effect for effect in effects if effect.chosen):
        place = values.index(best.value), best.group.val_accuracy
        ax.plot(*place, "o", markersize=11, markerfacecolor="none", markeredgecolor="black")


def _shown(groups: Sequence[Group], own: Group | None) -> tuple[dict[str, Group], str]:
    """What is drawn, by its name in the legend, and how a caption says that it is not all."""
    shown = overview(groups, own)
    often = Counter(g.experiment for g in shown)
    names = [g.experiment if often[g.experiment] == 1 else g.label for g in shown]
    names = [name + " (this run)" * (g is own) for name, g in zip(names, shown, strict=True)]
    some = "" if len(shown) == len(groups) else f" of {len(shown)} of the {len(groups)} recipes"
    return dict(zip(names, shown, strict=True)), some


def _looks(recipes: Iterable[str]) -> dict[str, Any]:
    """Seaborn's options that give each name a colour, a marker and a line of its own."""
    names = list(recipes)
    colors = sns.color_palette("colorblind")
    if len(names) > len(colors):
        wheel = sns.husl_palette(len(names), s=0.95, l=0.55)
        colors = wheel[::3] + wheel[1::3] + wheel[2::3]  # so that neighbours are far apart
    return {
        "hue": "recipe", "hue_order": names, "palette": colors[: len(names)],
        "style": "recipe", "style_order": names, "markers": True,
    }  # fmt: skip


def _logarithmic_x(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers, few enough to be read."""
    ax.set_xscale("log")
    ax.set_xlim(0.95 * low, 1.05 * high)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1, 3)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")


def _finish(figure: LabFigure, ax: Axes, label: str) -> None:
    """Name the shared y axis, and put the legend below, in as many columns as have room."""
    handles, names = ax.get_legend_handles_labels()
    for panel in figure.axes:
        if legend := panel.get_legend():
            legend.remove()
    ax.set_ylabel(label)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    short = [textwrap.shorten(name, 75, placeholder=" …") for name in names]
    room = int(15 * figure.get_figwidth())  # characters in a row
    columns = max(1, min(len(short), room // (max(map(len, short)) + 6)))
    figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(short) // columns))
    figure.legend(
        handles, short, loc="outside lower center", ncols=columns, fontsize=8, labelspacing=0.3,
        columnspacing=1.5,
    )  # fmt: skip
