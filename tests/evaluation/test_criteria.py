"""The four criteria of the course's documents."""

import pytest

from lab_utils.evaluation.criteria import success_criteria
from lab_utils.training.history import Epoch


def epoch(train_loss):
    """An epoch of a history with this training loss."""
    return Epoch(1, train_loss, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0)


@pytest.mark.parametrize(
    ("losses", "train", "val", "passed"),
    [
        ((1.5, 0.7), 0.84, 0.80, [True, True, True, True]),
        ((1.5, 1.6), 0.95, 0.74, [False, True, False, False]),
        ((1.5,), 0.76, 0.76, [True, False, None, True]),
        ((1.5, 0.7), 0.91, 0.80, [True, True, True, False]),
        ((1.5, 0.7), 0.80, 0.75, [False, False, True, True]),  # above, not at
    ],
)
def test_the_success_criteria_follow_from_the_numbers(losses, train, val, passed):
    rows = success_criteria([epoch(loss) for loss in losses], train, val)
    assert [row.passed for row in rows] == passed
    assert [row.found for row in rows[:2]] == [f"{val:.2%}", f"{train:.2%}"]
    assert set(vars(rows[0])) == {"criterion", "found", "passed"}  # as the report reads them
