"""Sensitivity and ablation: one setting at a time, and the choice made by validation accuracy."""

from fabricate import make_tested
import pytest

from lab_utils.core.params import resolve
from lab_utils.experiments.effects import ablation, sensitivity, table
from lab_utils.experiments.recipes import named


def test_sensitivity_goes_through_the_best_on_validation(runs):
    # The order by test accuracy is the opposite one.
    for lr, size, val in [
        (1e-3, 64, 0.70), (1e-3, 128, 0.71), (2e-3, 64, 0.69), (2e-3, 128, 0.68),
    ]:  # fmt: skip
        make_tested("quick", round(1400 - 1000 * val), lr=lr, batch_size=size, val_accuracy=val)
    found = [
        (e.setting, e.value, round(e.val_difference, 3), e.chosen)
        for e in sensitivity(named("quick"))
    ]
    assert found == [
        ("batch_size", 64, -0.010, False), ("batch_size", 128, 0.0, True),
        ("lr", 1e-3, 0.0, True), ("lr", 2e-3, -0.030, False),
    ]  # fmt: skip


def test_the_chosen_value_is_the_best_one_tried_even_if_others_were_varied_from_another(runs):
    # Three values of lr at batch size 64, two of batch size at the middle lr, which is not best.
    for lr, size, val in [(1e-3, 64, 0.71), (2e-3, 64, 0.70), (3e-3, 64, 0.69), (2e-3, 128, 0.6)]:
        make_tested("quick", round(1400 - 1000 * val), lr=lr, batch_size=size, val_accuracy=val)
    found = [(e.setting, e.value, e.chosen) for e in sensitivity(named("quick"))]
    assert found == [
        ("batch_size", 64, True), ("batch_size", 128, False),
        ("lr", 1e-3, True), ("lr", 2e-3, False), ("lr", 3e-3, False),
    ]  # fmt: skip


def test_a_run_outside_a_grid_does_not_hide_what_the_grid_shows(runs):
    for lr in (1e-3, 3e-3):
        for size in (64, 128):
            make_tested("quick", round(700 + 1000 * lr), lr=lr, batch_size=size)
    make_tested("quick", 500, lr=3e-3, batch_size=128, epochs=20, flip=False)
    found = sensitivity(named("quick"))
    assert [(effect.setting, effect.value) for effect in found] == [
        ("batch_size", 64), ("batch_size", 128), ("lr", 1e-3), ("lr", 3e-3),
    ]  # fmt: skip
    assert found[2].chosen and found[2].val_difference == 0
    assert found[3].val_difference == pytest.approx(-0.001)


def test_ablation_compares_each_part_with_the_full_recipe(runs):
    # By test accuracy the full recipe would be the worst, and the order the opposite one.
    make_tested("simple_fast", 600, val_accuracy=0.80)
    make_tested("simple_fast", 610, label_smoothing=0.0, val_accuracy=0.79)
    make_tested("simple_fast", 660, alternate_flip=False, val_accuracy=0.74)
    without_muon = resolve("simple_fast", {"muon_lr": None})  # None beside a number
    make_tested(without_muon, 640, val_accuracy=0.76)
    make_tested("simple_fast", 500, lr=1e-3, val_accuracy=0.50)  # sensitivity, not ablation
    parts = ablation(named("simple_fast"))
    assert [(part.setting, part.value) for part in parts] == [
        ("alternate_flip", False), ("muon_lr", None), ("label_smoothing", 0.0),
    ]  # fmt: skip
    assert [round(part.val_difference, 3) for part in parts] == [-0.06, -0.04, -0.01]
    assert all(part.base.label.startswith("simple_fast") for part in parts)


def test_an_effect_is_a_row_in_points_of_validation_accuracy(runs):
    for lr, val in ((1e-3, 0.71), (2e-3, 0.75)):
        make_tested("quick", 700, lr=lr, val_accuracy=val)
    rows = repr(table(sensitivity(named("quick")))).splitlines()[2:]
    assert [row.split() for row in rows] == [
        ["quick", "lr", "0.001", "1", "71.00%", "-4.00", "70.00%"],
        ["quick", "lr", "0.002", "1", "75.00%", "+0.00", "70.00%"],
    ]
