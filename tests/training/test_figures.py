"""The figures of a training tell what is in its history."""

from lab_utils.training.figures import small_trainings
from lab_utils.training.findings import signs
from lab_utils.training.history import Epoch


def history(lr, train, val):
    return [
        Epoch(i, a, 0.5, b, 0.5, lr, 1.0, 100.0)
        for i, (a, b) in enumerate(zip(train, val, strict=True), 1)
    ]


USUAL = history(1e-3, [2.0, 1.0, 0.25], [1.5, 1.25, 1.75])
SLOW = history(1e-5, [2.25, 2.2, 2.125], [2.2, 2.1, 2.0])
WILD = history(0.1, [9.0, 2.5, 3.0], [4.0, 2.25, 5.0])


def test_small_trainings_have_a_panel_each_and_say_where_the_losses_end():
    drawing = small_trainings([USUAL, SLOW, WILD], 10)
    titles = [ax.get_title() for ax in drawing.figure.axes]
    assert titles == ["learning rate 0.001", "learning rate 1e-05", "learning rate 0.1"]
    lines = drawing.figure.axes[2].get_lines()
    assert list(lines[0].get_ydata()) == [9.0, 2.5, 3.0]
    assert "with 0.001 at 0.25 and 1.75, with 1e-05 at 2.12 and 2.00, with 0.1" in drawing.caption
    assert "over 3 epochs" in drawing.alt
    assert "in epoch 2 with the first learning rate, in epochs 3, 2 with the others" in drawing.alt


def test_the_signs_name_overfitting_only_where_validation_loss_turned():
    first, second = signs(USUAL, SLOW, WILD).split("\n")
    assert first.endswith("lowest in epoch 2 of 3 and 40% higher at the end: overfitting.")
    assert "from 2.25 to 2.12 and validation loss to 2.00" in second
    assert second.endswith("begins at 9.00 and ends at 3.00.")
    falling = history(1e-3, [2.0, 1.0, 0.25], [1.5, 1.25, 1.25])
    first, _ = signs(falling, SLOW, WILD).split("\n")
    assert first.endswith("0% higher at the end: too little to call it overfitting.")
