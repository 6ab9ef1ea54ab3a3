"""What the lab says of a recipe and of its curves."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toy import CPU

from lab_utils.training.findings import (
    accuracy_reading,
    compared,
    earlier_seconds,
    gradients,
    loss_reading,
    pace,
    rates_reading,
    results,
    schedule_effect,
    signs,
    verdict,
    what_we_found,
)
from lab_utils.training.history import Epoch, ThreadChoice
from lab_utils.training.loop import Training
from lab_utils.training.optim import schedule_values
from lab_utils.training.recipe import hyperparameters


def history(*accuracies, losses=None):
    losses = losses or [2.0 - i for i in range(len(accuracies))]
    return [
        Epoch(i, 1.0, 0.5, loss, accuracy, 1e-3, 10.0, 1.0)
        for i, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), 1)
    ]


def test_the_verdict_follows_from_the_gap_and_the_training_accuracy():
    assert verdict(0.95, history(0.80))[0] == "overfitting"
    assert verdict(0.60, history(0.58))[0] == "underfitting"
    assert verdict(0.82, history(0.79))[0] == "balanced"
    assert "gap of 3.0 percentage points" in verdict(0.82, history(0.79))[1]
    assert "validation accuracy is 0.8 points higher" in verdict(0.82, history(0.828))[1]
    assert verdict(0.79, history(0.78))[1].endswith("(rule of thumb: training accuracy below 80%).")


def test_a_model_whose_validation_loss_still_falls_is_to_be_trained_longer_first():
    falling, level = history(0.5, 0.6), history(0.5, 0.6, losses=[1.0, 1.1])
    assert "first of all train longer" in verdict(0.6, falling)[1]
    assert "more capacity" in verdict(0.6, level)[1]
    assert "longer" not in verdict(0.6, level)[1]


def test_the_readings_of_the_curves_are_of_their_numbers():
    rows = history(0.50, 0.62, 0.60, 0.615, losses=[1.5, 1.0, 1.2, 1.1])
    assert "lowest in epoch 2 of 4 and ended 10.0% above that" in loss_reading(rows, 10)
    assert "guessing among 10 classes gives 2.303" in loss_reading(rows, 10)
    assert "it has not turned" in loss_reading(rows[:2], 10)
    # a standard error of 100 images is 4.9 points, of 10,000 half a point
    assert "4.9 points. 2 others are within one of it." in accuracy_reading(rows, 100)
    assert "0.5 points. No other epoch is within one of it." in accuracy_reading(rows, 10_000)
    assert accuracy_reading(rows[:1], 100).endswith("No other epoch is within one of it.")
    assert rates_reading([1.0, 0.6, 0.4, 0.05]).endswith(
        "50% have more than half the largest learning rate, 25% less than a tenth of it."
    )
    at_the_limits = rates_reading([1.0, 0.5, 0.1, 0.05])
    assert "4 batches 25% have more than half" in at_the_limits
    assert at_the_limits.endswith("25% less than a tenth of it.")


def test_the_effect_of_a_schedule_is_read_from_the_epochs_after_the_peak_below_half_of_it():
    rows = history(0.5, 0.6, 0.7, 0.75, losses=[1.5, 1.2, 1.0, 0.9])
    assert schedule_effect(rows, [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.1]) == (
        "In the last 2 of 4 epochs the learning rate was below half its peak. Meanwhile validation "
        "loss went from 1.200 to 0.900 and validation accuracy from 60.0% to 75.0% (+15.0 points)."
    )
    rising = schedule_effect(rows, [0.1, 0.2, 0.3, 0.4, 0.9, 1.0, 0.6, 0.4])
    assert rising.startswith("No epoch ran mostly below half the peak")
    assert "constant throughout" in schedule_effect(rows, [0.1] * 8)


def test_what_is_recorded_of_a_training_is_of_its_epochs():
    rows = [
        Epoch(i, 3.0 - i, i / 10, 2.0 - i / 2, accuracy, 0.1, 10.0 * i, 100.0 * i)
        for i, accuracy in enumerate((0.5, 0.7, 0.6), 1)
    ]
    choices = [ThreadChoice(1, 0, 2, "it was fastest"), ThreadChoice(3, 1, 1, "others compute")]
    training = SimpleNamespace(
        finished=True, history=rows, steps_per_epoch=4, machine=CPU, choices=choices, resumed_from=1
    )
    assert results(training) == {
        "epochs": 3, "steps": 12, "steps_per_epoch": 4, "train_seconds": 60.0, "best_epoch": 2,
        "best_val_accuracy": 0.7, "final_train_loss": 0.0, "final_train_accuracy": 0.3,
        "final_val_loss": 0.5, "final_val_accuracy": 0.6, "images_per_second": 200.0,
        "precision": "float32", "device": "cpu", "threads": [c._asdict() for c in choices],
        "threads_reason": "others compute", "resumed_from_epoch": 1,
    }  # fmt: skip
    text = pace(training)
    assert "100 in the slowest epoch, 300 in the fastest; threads: 2, then 1." in text
    assert "differ by rounding" in text
    training.choices = choices[:1]
    assert pace(training).endswith("threads: 2.")
    told = what_we_found(results(training) | {"verdict_reason": "Balanced: it is."})
    assert told.startswith("- 3 epochs, 12 steps, 60 s of training at\n  200 images/s on cpu in")
    assert "**70.00%**, in epoch 2; final\n  validation loss 0.500.\n- Balanced: it is." in told


def test_a_row_of_the_gradients_is_an_array_of_weights_that_learns():
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1), nn.Linear(1, 1))
    model[2].requires_grad_(False)
    model[0].weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    (model[0].weight * torch.tensor([[6.0, 8.0]])).sum().backward()
    assert gradients(model) == [{"weights": "0.weight", "count": 2, "norm": 5.0, "gradient": 10.0}]


def losses(*pairs):
    """Rows of a small training: training and validation loss of each epoch."""
    return [(train, 0.5, val, 0.5) for train, val in pairs]


def test_the_small_trainings_are_told_by_their_losses():
    usual = losses((1.0, 1.2), (0.5, 1.0), (0.1, 1.5))
    others = {
        "tiny": losses((2.2, 2.3), (2.1, 2.2), (2.0, 2.1)), "slow": losses((2.3, 2.3), (2.25, 2.3)),
        "wild": losses((9.5, 8.0), (3.5, 4.0)),
    }  # fmt: skip
    lines = " ".join(signs({"usual": usual} | others).split()).split("- ")[1:]
    assert [line.split(":")[0] for line in lines] == ["usual", *others]
    assert "falls to 0.10" in lines[0]
    assert "lowest in epoch 2 of 3 and 50% higher at the end: overfitting" in lines[0]
    assert "ends at 2.00, validation loss at 2.10;" in lines[1]
    assert "in the second half of the epochs training loss fell by 0.10" in lines[1]
    assert "from 2.30 to 2.25" in lines[2]
    assert "begins at 9.50 and ends at 3.50" in lines[3]
    mild = signs({"usual": losses((1.0, 1.0), (0.5, 1.05))} | others)
    assert "5% higher at the end: too little to call it overfitting" in " ".join(mild.split())


def test_two_trainings_are_compared_by_the_gap_that_is_left():
    plain, mixed = losses((1.0, 1.2), (0.2, 1.4)), losses((1.5, 1.3), (1.0, 1.1))
    text = compared({"plain": plain, "mixed": mixed})
    assert "plain: training loss ends at 0.20, validation loss at 1.40, after a lowest 1.20" in text
    assert "ends at +1.20 (plain) and +0.10 (mixed). One seed on 2 epochs" in text


def test_only_what_other_sessions_trained_counts_as_earlier():
    rows = history(0.5, 0.6, 0.7)
    for resumed_from, opened_with, seconds in (
        (0, 0, 0),
        (2, 0, 0),
        (2, 2, 20),
        (2, 1, 10),
        (0, 3, 0),
    ):
        training = SimpleNamespace(history=rows, resumed_from=resumed_from)
        assert earlier_seconds(training, opened_with) == seconds


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


def test_a_model_that_still_gets_better_is_undertrained_and_not_underfitting():
    def rows(*losses):
        return [
            Epoch(i + 1, 1.0, 0.5, loss, 0.55, 1e-3, 1.0, 1000.0, 2)
            for i, loss in enumerate(losses)
        ]

    assert verdict(0.60, rows(1.5, 1.3, 1.2))[0] == "undertrained"
    assert verdict(0.60, rows(1.5, 1.2, 1.3))[0] == "underfitting"


def test_a_training_that_diverged_is_called_so():
    """As one with lr=1000 does, whose loss never stops being a number."""
    finding, sentence = verdict(0.104, history(0.10, 0.13, 0.10, losses=[1e22, 9e13, 3.6e12]))
    assert finding == "diverged"
    assert "ended at 1 (training) and 3.6e+12 (validation), so lower lr" in sentence
    assert verdict(0.85, history(0.80, losses=[12.0]))[0] != "diverged"  # sure, and mostly right
