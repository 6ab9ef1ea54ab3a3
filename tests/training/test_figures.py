"""The figures of a training tell what is in its history."""

import pytest

from lab_utils.training.figures import small_trainings, two_trainings
from lab_utils.training.findings import compared, signs


def rows(train, val):
    """What a small training returns: losses, and accuracies that no figure shows."""
    return [(a, 0.5, b, 0.5) for a, b in zip(train, val, strict=True)]


TRAININGS = {
    "usual": rows([2.0, 1.0, 0.25], [1.5, 1.25, 1.75]),
    "tiny": rows([2.25, 2.2, 2.125], [2.2, 2.1, 2.0]),
    "slow": rows([2.3, 2.25, 2.2], [2.3, 2.25, 2.25]),
    "wild": rows([9.0, 2.5, 3.0], [4.0, 2.25, 5.0]),
}


def test_small_trainings_have_a_panel_each_and_say_where_the_losses_end():
    drawing = small_trainings(TRAININGS, 10)
    assert [ax.get_title() for ax in drawing.figure.axes] == list(TRAININGS)
    lines = drawing.figure.axes[3].get_lines()
    assert list(lines[0].get_ydata()) == [9.0, 2.5, 3.0]
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
