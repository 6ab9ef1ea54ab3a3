"""The figures of a training tell what is in its history."""

from math import log

import pytest

from lab_utils.training.figures import (
    accuracy_curves,
    loss_curves,
    lr_curve,
    lr_schedule,
    small_trainings,
    two_trainings,
)
from lab_utils.training.findings import compared, signs
from lab_utils.training.history import Epoch


def rows(train, val):
    """What a small training returns: losses, and accuracies that no figure shows."""
    return [(a, 0.5, b, 0.5) for a, b in zip(train, val, strict=True)]


TRAININGS = {
    "usual": rows([2.0, 1.0, 0.25], [1.5, 1.25, 1.75]),
    "tiny": rows([2.25, 2.2, 2.125], [2.2, 2.1, 2.0]),
    "slow": rows([2.3, 2.25, 2.2], [2.3, 2.25, 2.25]),
    "wild": rows([9.0, 2.5, 3.0], [4.0, 2.25, 5.0]),
}


HISTORY = [
    Epoch(1, 2.0, 0.25, 1.5, 0.375, 0.1, 10.0, 100.0),
    Epoch(2, 1.0, 0.5, 1.25, 0.625, 0.4, 10.0, 100.0),
    Epoch(3, 0.5, 0.75, 1.75, 0.5, 0.2, 10.0, 100.0),
]
RATES = [0.1, 0.3, 0.4, 0.3, 0.2, 0.05]  # two batches an epoch


def drawn(ax):
    return [[tuple(point) for point in line.get_xydata()] for line in ax.get_lines()]


def test_the_curves_are_the_history_with_a_ring_at_the_best_epoch_and_a_line_at_guessing():
    losses, accuracies = loss_curves(HISTORY, 10), accuracy_curves(HISTORY, 4, "with dropout")
    (ax,) = losses.figure.axes
    train, val, ring, guessing = drawn(ax)
    assert train == [(1, 2.0), (2, 1.0), (3, 0.5)]
    assert val == [(1, 1.5), (2, 1.25), (3, 1.75)]
    assert ring == [(2, 1.25)]
    assert {y for _, y in guessing} == {log(10)}
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > log(10)
    assert (
        "from 2.000 to 0.500, validation loss from 1.500 to 1.750, with its lowest value 1.250 in "
        "epoch 2; guessing gives 2.303." in losses.caption
    )
    train, val, ring, guessing = drawn(accuracies.figure.axes[0])
    assert train == [(1, 25), (2, 50), (3, 75)]
    assert val == [(1, 37.5), (2, 62.5), (3, 50)]
    assert ring == [(2, 62.5)]
    assert {y for _, y in guessing} == {25}
    assert "epoch 3 it was 75.0% on training images (with dropout) and 50.0%" in accuracies.caption
    assert "that of epoch 2 (62.5%)" in accuracies.caption
    (legend,) = accuracies.figure.legends
    named = [text.get_text() for text in legend.texts]
    assert named == ["training", "validation", "best (epoch 2)"]


def test_the_schedule_is_every_batchs_rate_with_a_dot_at_the_peak():
    drawing = lr_schedule(RATES, 2)
    (ax,) = drawing.figure.axes
    line, dot = drawn(ax)
    assert line == [(i / 2, rate) for i, rate in enumerate(RATES)]
    assert dot == [(1.0, 0.4)]
    assert ax.get_xlim() == (0, 3) and ax.get_ylim() == pytest.approx((0, 1.12 * 0.4))
    assert "at each of the 6 batches: it begins at 0.1, is largest (0.4)" in drawing.caption
    assert drawing.caption.endswith("after 1.0 of 3 epochs and ends at 0.05.")
    (line, _) = drawn(lr_schedule([i / 9999 for i in range(10_000)], 100).figure.axes[0])
    assert len(line) == 2000 and line[0] == (0, 0) and line[-1] == (99.99, 1)


def test_below_the_rates_stands_the_validation_accuracy_after_each_epoch():
    drawing = lr_curve(HISTORY, RATES)
    above, below = drawing.figure.axes
    line, dots = drawn(above)
    assert line == [(i / 2, rate) for i, rate in enumerate(RATES)]
    assert dots == [(0, 0.1), (1, 0.4), (2, 0.2)]
    assert drawn(below) == [[(1, 37.5), (2, 62.5), (3, 50)]]
    assert "validation accuracy from 62.5% to 50.0% (-12.5 points)" in drawing.caption


def test_small_trainings_have_a_panel_each_and_say_where_the_losses_end():
    drawing = small_trainings(TRAININGS, 10)
    assert [ax.get_title() for ax in drawing.figure.axes] == list(TRAININGS)
    lines = drawing.figure.axes[3].get_lines()
    assert list(lines[0].get_ydata()) == [9.0, 2.5, 3.0]
    assert drawing.figure.axes[3].get_ylim() == pytest.approx((0, 2 * log(10)))
    assert "usual 0.25 and 1.75; tiny 2.12 and 2.00; slow" in drawing.caption
    assert "over 3 epochs" in drawing.alt
    assert "lowest in epochs 2, 3, 2, 2." in drawing.alt


def test_the_signs_name_overfitting_only_where_validation_loss_turned():
    usual, tiny, slow, wild = signs(TRAININGS).split("\n- ")
    assert usual.endswith("2 of 3 and 40% higher at the end: overfitting.")
    assert "ends at 2.12, validation loss at\n  2.00; in the second half" in tiny
    assert tiny.endswith("training loss fell by 0.08.")
    assert slow == "slow: training loss gets from 2.30 to 2.20."
    assert wild == "wild: training loss begins at 9.00 and ends at 3.00."
    falling = TRAININGS | {"usual": rows([2.0, 1.0, 0.25], [1.5, 1.25, 1.25])}
    assert "0% higher at the end: too little to call it overfitting." in signs(falling)


def test_two_trainings_are_drawn_together_and_compared_in_words():
    pair = {"Adam": TRAININGS["usual"], "SGD": TRAININGS["slow"]}
    drawing = two_trainings("optimizers", pair, 10)
    assert drawing.file == "figures/optimizers.svg"
    drawn = [list(line.get_ydata()) for line in drawing.figure.axes[0].get_lines()[:4]]
    assert drawn == [[1.5, 1.25, 1.75], [2.0, 1.0, 0.25], [2.3, 2.25, 2.25], [2.3, 2.25, 2.2]]
    assert "ends at 0.25 and 2.20, validation loss at 1.75 and 2.25" in drawing.caption
    text = compared(pair)
    assert "Adam: training loss ends at 0.25" in text
    assert "a lowest 1.25 in epoch 2" in text
    assert "ends at +1.50 (Adam) and +0.05 (SGD)" in text


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_of_few_epochs_can_be_told_too(epochs):
    short = {name: epoch[:epochs] for name, epoch in TRAININGS.items()}
    assert signs(short).startswith("- usual: ")
    assert small_trainings(short, 10).alt
