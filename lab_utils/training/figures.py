"""The figures of notebook 04: the schedule and the curves."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
import numpy as np
from torch import Tensor

from lab_utils.core import drawing
from lab_utils.core.drawing import BLUE, GRAY, GREEN, HALF, ORANGE, Drawing, new_figure, styled
from lab_utils.training.findings import Rows, schedule_effect
from lab_utils.training.history import Epoch, best_of, numbered


def _values(history: Sequence[Epoch], key: str) -> list[float]:
    return [getattr(row, key) for row in history]


def _both(ax: Axes, history: Sequence[Epoch], quantity: str, scale: float = 1.0) -> None:
    """Training and validation curves of ``quantity``."""
    for split, color, label in (("train", ORANGE, "training"), ("val", BLUE, "validation")):
        values = scale * np.array(_values(history, f"{split}_{quantity}"))
        ax.plot(_values(history, "epoch"), values, "o-", color=color, label=label, markersize=3.5)
    ax.set_xlabel("epoch")
    ax.set_xlim(0.7, len(history) + 0.3)
    drawing.whole_numbers(ax.xaxis)


def _pair(ax: Axes, history: Sequence[Epoch], quantity: str, scale: float = 1.0) -> None:
    """Training and validation curves of ``quantity``, and a ring at the best epoch."""
    best = best_of(history)
    _both(ax, history, quantity, scale)
    ax.plot(
        best.epoch, scale * getattr(best, f"val_{quantity}"), "o", markersize=10,
        markerfacecolor="none", markeredgecolor=BLUE, label=f"best (epoch {best.epoch})",
    )  # fmt: skip


def _curves(
    history: Sequence[Epoch], quantity: str, scale: float, guessing: float
) -> drawing.LabFigure:
    """The curves of one quantity with a line at what guessing scores, and the legend above."""
    figure, ax = new_figure(*HALF)
    _pair(ax, history, quantity, scale)
    drawing.guessing_line(ax, guessing, "guessing")
    figure.legend(
        *ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, columnspacing=0.9,
        handlelength=1.5, handletextpad=0.4,
    )  # fmt: skip
    return figure


@styled
def loss_curves(history: Sequence[Epoch], classes: int) -> Drawing:
    """Training and validation loss per epoch, with the loss of guessing among ``classes``."""
    guessing = float(np.log(classes))
    figure = _curves(history, "loss", 1.0, guessing)
    ax = figure.axes[0]
    ax.set_ylim(0, max(ax.get_ylim()[1], 1.08 * guessing))
    ax.set_ylabel("cross-entropy (nats)")
    first, last, lowest = history[0], history[-1], min(history, key=lambda row: row.val_loss)
    return Drawing(
        "loss_curves",
        figure,
        f"Cross-entropy per epoch. Training loss went from {first.train_loss:.3f} to "
        f"{last.train_loss:.3f}, validation loss from {first.val_loss:.3f} to "
        f"{last.val_loss:.3f}, with its lowest value {lowest.val_loss:.3f} in epoch "
        f"{lowest.epoch}; guessing gives {guessing:.3f}.",
        "Line plot: cross-entropy over the epochs, one curve for training and one for validation, "
        "with a ring at the best checkpoint and a dotted line at the loss of guessing.",
    )


@styled
def accuracy_curves(history: Sequence[Epoch], classes: int, how: str) -> Drawing:
    """Training and validation accuracy per epoch; ``how`` says how the first was measured."""
    figure = _curves(history, "accuracy", 100, 100 / classes)
    figure.axes[0].set(ylim=(0, 100), ylabel="accuracy (%)")
    last, best = history[-1], best_of(history)
    return Drawing(
        "accuracy_curves",
        figure,
        f"Accuracy per epoch. In epoch {last.epoch} it was {last.train_accuracy:.1%} on training "
        f"images ({how}) and {last.val_accuracy:.1%} on validation images; the best checkpoint is "
        f"that of epoch {best.epoch} ({best.val_accuracy:.1%}).",
        "Line plot: accuracy in percent over the epochs, one curve for training and one for "
        "validation, with a ring at the best checkpoint and a dotted line at guessing.",
    )


def _rate_line(ax: Axes, rates: Sequence[float], steps_per_epoch: int) -> None:
    """The learning rate of every step over the epochs, at most 2,000 points of it."""
    chosen = np.unique(np.linspace(0, len(rates) - 1, 2000).astype(int))
    ax.plot(chosen / steps_per_epoch, np.asarray(rates)[chosen], color=GREEN)
    ax.set(ylabel="learning rate", ylim=(0, 1.12 * max(rates)))
    ax.set_xlim(0, len(rates) / steps_per_epoch)
    drawing.whole_numbers(ax.xaxis)


@styled
def lr_schedule(rates: Sequence[float], steps_per_epoch: int) -> Drawing:
    """The learning rate of every batch of the training to come, with its peak marked."""
    figure, ax = new_figure(6.4, 2.0)
    _rate_line(ax, rates, steps_per_epoch)
    highest, after = max(rates), int(np.argmax(rates)) / steps_per_epoch
    ax.plot(after, highest, "o", color=GREEN, markersize=5, clip_on=False)
    ax.annotate(
        f"peak {highest:.3g}", (after, highest), xytext=(8, 2), textcoords="offset points",
        color=GREEN,
    )  # fmt: skip
    ax.set_xlabel("epochs completed")
    return Drawing(
        "lr_schedule",
        figure,
        f"Learning rate at each of the {len(rates):,} batches: it begins at {rates[0]:.3g}, is "
        f"largest ({highest:.3g}) after {after:.1f} of {len(rates) / steps_per_epoch:g} epochs and "
        f"ends at {rates[-1]:.3g}.",
        "Line plot of the learning rate over the epochs completed, one value per batch, with a dot "
        f"at its peak after {after:.1f} epochs.",
    )


@styled
def lr_curve(history: Sequence[Epoch], rates: Sequence[float]) -> Drawing:
    """The learning rate of every batch above the validation accuracy after every epoch."""
    figure, (above, below) = new_figure(*HALF, 2, 1, sharex=True, height_ratios=(2, 3))
    _rate_line(above, rates, len(rates) // len(history))
    dots = {"color": GREEN, "markersize": 3.5, "clip_on": False}
    above.plot([row.epoch - 1 for row in history], _values(history, "lr"), "o", **dots)
    above.set_title("dots: each epoch's first step", color=GREEN, loc="right")
    accuracies = 100 * np.array(_values(history, "val_accuracy"))
    dots |= {"color": BLUE}
    below.plot(_values(history, "epoch"), accuracies, "o-", **dots)
    below.set(ylabel="val. accuracy (%)", xlabel="epochs completed")
    return Drawing(
        "lr_curve",
        figure,
        "Learning rate at every batch, above the validation accuracy after every epoch. "
        + schedule_effect(history, rates),
        "Two line plots on one axis of epochs: above the learning rate at every batch, below the "
        f"validation accuracy, which ends at {history[-1].val_accuracy:.1%}.",
    )


def filters(before: Tensor, after: Tensor) -> Drawing:
    """Filters (O, C, k, k) of a convolution before training, and below each what became of it."""
    from lab_utils.model import figures  # draws images, which no other figure here does

    return figures.filters(before, after)


@styled
def small_trainings(trainings: Mapping[str, Rows], classes: int) -> Drawing:
    """Training and validation loss of several small trainings, a panel for each under its name."""
    histories = {name: numbered(rows) for name, rows in trainings.items()}
    figure, axes = new_figure(7.2, 2.4, 1, len(histories), sharey=True)
    guessing = float(np.log(classes))
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        _both(ax, history, "loss")
        ax.axhline(guessing, color=GRAY, linestyle=":", linewidth=1.2, label="guessing")
        ax.set_title(name)
    axes[0].set(ylim=(0, 2 * guessing), ylabel="cross-entropy (nats)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    ends = [(name, history[-1]) for name, history in histories.items()]
    told = [f"{name} {e.train_loss:.2f} and {e.val_loss:.2f}" for name, e in ends]
    lowest = [min(history, key=lambda row: row.val_loss).epoch for history in histories.values()]
    return Drawing(
        "small_trainings",
        figure,
        f"Loss of {len(ends)} small trainings. Training and validation loss end at: "
        f"{'; '.join(told)}. Guessing gives {guessing:.2f}, and the axis ends at twice that.",
        f"{len(ends)} line plots of training and validation loss over {ends[0][1].epoch} epochs, "
        f"with a dotted line at guessing. Validation loss is lowest in epochs "
        f"{', '.join(map(str, lowest))}.",
    )


@styled
def two_trainings(file: str, trainings: Mapping[str, Rows], classes: int) -> Drawing:
    """Training and validation loss of two small trainings in one plot; ``file`` names the figure.

    A colour for each; training is a thin broken line, validation a thick one with dots.
    """
    histories = {name: numbered(rows) for name, rows in trainings.items()}
    figure, ax = new_figure(5.2, 2.9)
    guessing = float(np.log(classes))
    for color, (name, history) in zip((ORANGE, BLUE), histories.items(), strict=True):
        epochs = _values(history, "epoch")
        thick = {"color": color, "markersize": 3.5, "label": f"{name}, validation"}
        ax.plot(epochs, _values(history, "val_loss"), "o-", **thick)
        thin = {"color": color, "linewidth": 1.0, "label": f"{name}, training"}
        ax.plot(epochs, _values(history, "train_loss"), "--", **thin)
    drawing.guessing_line(ax, guessing, "guessing")
    ax.set(ylim=(0, 1.5 * guessing), xlabel="epoch", ylabel="cross-entropy (nats)")
    drawing.whole_numbers(ax.xaxis)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    (one, first), (other, second) = ((name, h[-1]) for name, h in histories.items())
    return Drawing(
        file,
        figure,
        f"Loss of two small trainings that differ in one thing, {one} and {other}. Training loss "
        f"ends at {first.train_loss:.2f} and {second.train_loss:.2f}, validation loss at "
        f"{first.val_loss:.2f} and {second.val_loss:.2f}; guessing gives {guessing:.2f}.",
        f"Line plot of four losses over {first.epoch} epochs: for {one} and for {other} a dashed "
        "line for training and a line with dots for validation, and a dotted line at guessing.",
    )
