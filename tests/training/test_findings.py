"""What the lab says of a recipe and of its curves."""

import pytest
from toy import CPU

from lab_utils.training.findings import hyperparameters, schedule_effect, verdict
from lab_utils.training.history import Epoch
from lab_utils.training.loop import Training
from lab_utils.training.optim import schedule_values


def test_the_verdict_follows_from_the_gap_and_the_training_accuracy():
    assert verdict(0.95, 0.80)[0] == "overfitting"
    assert verdict(0.60, 0.58)[0] == "underfitting"
    assert verdict(0.82, 0.79)[0] == "balanced"
    assert "gap of 3.0 percentage points" in verdict(0.82, 0.79)[1]
    assert "validation accuracy is 0.8 points higher" in verdict(0.82, 0.828)[1]
    assert verdict(0.79, 0.78)[1].endswith("(rule of thumb: training accuracy below 80%).")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(
    "schedule", ["constant", "step", "cosine", "one_cycle", "linear", "warm_restarts", "plateau"]
)
@pytest.mark.parametrize("epochs", [1, 20])
def test_every_hyperparameter_has_a_reason(dataset, settings, optimizer, schedule, epochs):
    settings = settings.model_copy(
        update={"optimizer": optimizer, "schedule": schedule, "epochs": epochs}
    )
    rows = hyperparameters(Training(settings, dataset, CPU))
    assert all(row.value and row.reason.endswith(".") for row in rows)
    history = [Epoch(1, 1.0, 0.5, 1.0, 0.5, 1e-3, 1.0, 1.0)] * epochs
    assert schedule_effect(history, schedule_values(settings, 4)).endswith(".")


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"schedule": "cosine", "warmup_epochs": 2.0}, "warmup_epochs", "before the schedule"),
        ({"schedule": "cosine", "min_lr": 1e-4}, "schedule", "half a cosine to 0.0001"),
        ({"optimizer": "sgd", "momentum": 0.8}, "optimizer", "momentum 0.8"),
        ({"accumulate": 4}, "accumulate", "one step"),
        ({"clip_norm": 1.0}, "clip_norm", "shortened"),
        ({"ema_decay": 0.99}, "ema_decay", "running average"),
        ({"patience": 3}, "patience", "Stops so many epochs after"),
        ({"mixup": 0.2}, "mixup", "share of each"),
        ({"mixup": 0.2, "cutmix": 1.0}, "mixup", "chance decides"),
        ({"folds": 5, "fold": 2}, "fold", "held out"),
        ({"flip": False, "crop_padding": 0, "rotation": 5.0}, "rotation", "Degrees"),
    ],
)
def test_an_option_has_its_reason_where_it_is_on(dataset, settings, changes, name, words):
    changed = settings.model_copy(update=changes)
    rows = {row.name: row.reason for row in hyperparameters(Training(changed, dataset, CPU))}
    assert words in rows[name]
    assert rows[name].endswith(".")
    plain = {row.name for row in hyperparameters(Training(settings, dataset, CPU))}
    usual = {"schedule", "optimizer", "flip", "crop_padding"}
    assert set(changes) & plain <= usual  # what is off has no row of its own
    assert not {"flip", "crop_padding"} & set(changes) & set(rows)
