"""The folds of a recipe are one cross-validation, told as a spread and never as an interval."""

from statistics import stdev

from fabricate import make_tested
import pytest

from lab_utils.experiments import effects
from lab_utils.experiments.folds import cross_validations, table
from lab_utils.experiments.recipes import named
from lab_utils.experiments.significance import paragraph


@pytest.fixture
def groups(runs):
    """Three of four folds, and the same recipe with two seeds and no folds."""
    for fold, correct in enumerate((700, 710, 690)):
        make_tested(correct=correct, folds=4, fold=fold, lr=1e-3)
    for seed in (0, 1):
        make_tested(correct=800 + 10 * seed, lr=1e-3, seed=seed)
    make_tested(correct=850)
    return named("quick")


def test_the_folds_of_a_recipe_are_one_cross_validation(groups):
    (found,) = cross_validations(groups)
    assert str(found) == (
        "quick (folds=4, val_fraction=0.25, lr=0.001), 3 of 4 folds: validation accuracy 65.00% "
        "in the mean, with a standard deviation of 0.50 points from fold to fold."
    )
    assert [result.run.settings.fold for result in found.results] == [0, 1, 2]
    assert found.accuracies == pytest.approx([0.65, 0.645, 0.655])
    assert str(found) in paragraph(groups)


def test_beside_the_folds_stand_the_seeds_of_the_same_recipe(groups):
    (found,) = cross_validations(groups)
    assert found.whole.label == "quick (lr=0.001)"
    folds, seeds = repr(table(found)).splitlines()[2:]
    assert folds.split() == ["3", "folds", "65.00", "0.50", "70.00", "1.00"]
    val, test = (f"{100 * stdev(found):.2f}" for found in ([0.6, 0.595], [0.80, 0.81]))
    assert seeds.split() == ["2", "seeds", "59.75", val, "80.50", test]


def test_a_single_fold_is_no_cross_validation_and_no_folds_are_none(runs):
    make_tested(folds=4, fold=1)
    make_tested("sprint")
    assert cross_validations(named("quick", "sprint")) == []


def test_a_fold_is_no_part_of_a_recipe(groups):
    folds = [g for g in groups if g.recipe["folds"]]
    assert not effects.sensitivity(folds)
    assert not effects.ablation(folds)
