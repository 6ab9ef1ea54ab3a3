"""The recipes that ``params.yaml`` has from the course's documents."""

import pytest

from lab_utils.core.params import load_settings


@pytest.mark.parametrize(
    ("experiment", "optimizer", "lr", "batch_size", "epochs"),
    [
        ("case_study", "adam", 1e-3, 128, 20),
        ("exp1_baseline", "adam", 1e-3, 128, 5),
        ("exp2_low_lr", "adam", 5e-4, 128, 10),
        ("exp3_big_batch", "adam", 1e-3, 256, 10),
    ],
)
def test_the_courses_recipes_are_as_its_documents_give_them(
    runs, experiment, optimizer, lr, batch_size, epochs
):
    found = load_settings(experiment)
    assert (found.optimizer, found.lr, found.batch_size, found.epochs) == (
        optimizer, lr, batch_size, epochs,
    )  # fmt: skip
    assert found.model == "simplecnn"
