"""The figures of notebook 04: the schedule, the curves, and where a step's time goes."""

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes
import numpy as np

from lab_utils.core.drawing import (
    BLUE,
    GREEN,
    HALF,
    ORANGE,
    LabFigure,
    guessing_line,
    new_figure,
    styled,
    whole_numbers,
)

Row = dict[str, float]  # one epoch of the history


def _values(history: Sequence[Row], key: str) -> list[float]:
    return [row[key] for row in history]


def _best(history: Sequence[Row]) -> Row:
    """The first epoch with the highest validation accuracy, as the best checkpoint is chosen."""
    return max(history, key=lambda row: row["val_accuracy"])


def _pair(ax: Axes, history: Sequence[Row], quantity: str, scale: float = 1.0) -> None:
    """Training and validation curves of ``quantity``, and a ring at the best epoch."""
    epochs = _values(history, "epoch")
    for split, color, label in (("train", ORANGE, "training"), ("val", BLUE, "validation")):
        values = scale * np.array(_values(history, f"{split}_{quantity}"))
        ax.plot(epochs, values, "o-", color=color, label=label, markersize=3.5)
    best = _best(history)
    ax.plot(
        best["epoch"],
        scale * best[f"val_{quantity}"],
        "o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=BLUE,
        label=f"best (epoch {int(best['epoch'])})",
    )
    ax.set_xlabel("epoch")
    ax.set_xlim(0.7, len(history) + 0.3)
    whole_numbers(ax.xaxis)


def _legend(figure: LabFigure, ax: Axes) -> None:
    figure.legend(
        *ax.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=3,
        columnspacing=0.9,
        handlelength=1.5,
        handletextpad=0.4,
    )


@styled
def loss_curves(history: Sequence[Row], classes: int) -> LabFigure:
    """Training and validation loss per epoch, with the loss of guessing among ``classes``."""
    figure, ax = new_figure(*HALF)
    _pair(ax, history, "loss")
    guessing_line(ax, float(np.log(classes)), "guessing")
    ax.set_ylim(0, max(ax.get_ylim()[1], 1.08 * np.log(classes)))
    ax.set_ylabel("cross-entropy (nats)")
    _legend(figure, ax)
    return figure


@styled
def accuracy_curves(history: Sequence[Row], classes: int) -> LabFigure:
    """Training and validation accuracy per epoch in percent, with that of guessing."""
    figure, ax = new_figure(*HALF)
    _pair(ax, history, "accuracy", 100)
    guessing_line(ax, 100 / classes, "guessing")
    ax.set_ylim(0, 100)
    ax.set_ylabel("accuracy (%)")
    _legend(figure, ax)
    return figure


@styled
def live_curves(history: Sequence[Row], epochs: int) -> LabFigure:
    """Loss and accuracy side by side while training runs, with room for all ``epochs``."""
    figure, (left, right) = new_figure(8.0, 2.6, 1, 2)
    _pair(left, history, "loss")
    _pair(right, history, "accuracy", 100)
    left.set_ylabel("cross-entropy (nats)")
    right.set_ylabel("accuracy (%)")
    for ax in (left, right):
        ax.set_xlim(0.7, max(epochs, 2) + 0.3)
    left.legend(fontsize=8)
    return figure


def _rate_line(ax: Axes, rates: Sequence[float], steps_per_epoch: int) -> None:
    """The learning rate of every step over the epochs, at most 2,000 points of it."""
    chosen = np.unique(np.linspace(0, len(rates) - 1, 2000).astype(int))
    ax.plot(chosen / steps_per_epoch, np.asarray(rates)[chosen], color=GREEN)
    ax.set_ylabel("learning rate")
    ax.set_ylim(0, 1.12 * max(rates))
    ax.set_xlim(0, len(rates) / steps_per_epoch)
    whole_numbers(ax.xaxis)


@styled
def lr_schedule(rates: Sequence[float], steps_per_epoch: int) -> LabFigure:
    """The learning rate of every step of the training to come, with its peak marked."""
    figure, ax = new_figure(6.4, 2.0)
    _rate_line(ax, rates, steps_per_epoch)
    peak = int(np.argmax(rates))
    ax.plot(peak / steps_per_epoch, rates[peak], "o", color=GREEN, markersize=5, clip_on=False)
    ax.annotate(
        f"peak {rates[peak]:.3g}",
        (peak / steps_per_epoch, rates[peak]),
        xytext=(8, 2),
        textcoords="offset points",
        color=GREEN,
    )
    ax.set_xlabel("epochs completed")
    return figure


@styled
def lr_curve(history: Sequence[Row], rates: Sequence[float]) -> LabFigure:
    """The learning rate of every step above the validation accuracy after every epoch."""
    figure, (above, below) = new_figure(*HALF, 2, 1, sharex=True, height_ratios=(2, 3))
    steps_per_epoch = len(rates) // len(history)
    _rate_line(above, rates, steps_per_epoch)
    above.plot(
        [row["epoch"] - 1 for row in history],
        _values(history, "lr"),
        "o",
        color=GREEN,
        markersize=3.5,
        clip_on=False,
    )
    above.set_title("dots: each epoch's first step", color=GREEN, loc="right")
    epochs, accuracies = _values(history, "epoch"), 100 * np.array(_values(history, "val_accuracy"))
    below.plot(epochs, accuracies, "o-", color=BLUE, markersize=3.5, clip_on=False)
    below.set_ylabel("val. accuracy (%)")
    below.set_xlabel("epochs completed")
    return figure


@styled
def throughput(history: Sequence[Row]) -> LabFigure:
    """Images per second of every epoch, and their median."""
    figure, ax = new_figure(*HALF)
    rates = _values(history, "images_per_second")
    ax.bar(_values(history, "epoch"), rates, color=BLUE, width=0.7)
    ax.set_xlim(0.3, len(history) + 0.7)
    middle = median(rates)
    ax.axhline(middle, color=ORANGE, linestyle="--", linewidth=1.2)
    ax.set_title(f"dashed: median {middle:,.0f}", color=ORANGE, loc="right")
    ax.set_xlabel("epoch")
    ax.set_ylabel("images per second")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.grid(axis="x", visible=False)
    whole_numbers(ax.xaxis)
    return figure
