"""Results taken together: a recipe is its settings, and its accuracy a mean with an interval."""

import csv
from dataclasses import replace

from fabricate import make_tested
import numpy as np
import pytest

from lab_utils import LabError
from lab_utils.experiments.recipes import group, named, overview, table, write_csv
from lab_utils.experiments.results import find


def test_seeds_of_a_recipe_are_one_group(three_seeds):
    first, second = three_seeds
    assert (first.experiment, second.experiment) == ("case_study", "quick")
    assert [result.run.settings.seed for result in second.results] == [0, 1, 2]
    assert second.accuracy == pytest.approx(0.700)
    assert second.accuracies.tolist() == [0.700, 0.710, 0.690]
    assert second.right.mean(1) == pytest.approx([0.700, 0.710, 0.690])
    predicted = [result.predicted for result in second.results]
    assert np.array_equal(second.probabilities.argmax(2), predicted)


def test_recipes_of_an_experiment_are_told_apart_by_what_differs(runs):
    make_tested()
    make_tested(lr=1e-3, correct=600, data="cifar10")
    assert [g.label for g in named("quick")] == ["quick", "quick (lr=0.001)"]


def test_a_recipe_that_is_not_that_of_params_yaml_says_so_even_alone(runs):
    make_tested("transfer", pretrained=False, model="resnet18")
    (only,) = named("transfer")
    assert only.label == "transfer (pretrained=False)"


def test_what_auto_became_is_no_other_recipe(runs):
    make_tested("quick", 700, "asked", seed=0)
    settings = find("asked")[0].run.settings.model_copy(update={"data": "cifar10", "seed": 1})
    make_tested(settings, 710, "named")
    (only,) = named("quick")
    assert (only.seeds, only.label) == (2, "quick")


def test_runs_on_other_data_are_refused_in_one_sentence(runs):
    make_tested("quick")
    make_tested("case_study", fingerprint="beef")
    with pytest.raises(LabError, match="Only runs on the same data can be compared"):
        named("quick", "case_study")


def test_of_many_recipes_the_best_by_validation_are_shown(three_seeds):
    case_study, own = three_seeds
    groups = [  # the best by validation is the worst by test
        replace(case_study, accuracy=0.8 - i / 100, val_accuracy=0.5 + i / 100) for i in range(15)
    ]
    assert overview(groups) == groups
    assert overview(groups, most=12) == [groups[-1]]
    many = [*groups, own, replace(own, accuracy=0.6, val_accuracy=0.9)]
    assert overview(many) == [groups[-1], many[-1]]
    assert overview(many, own) == [groups[-1], own, many[-1]]


def test_a_fold_is_no_recipe_of_its_own(runs):
    for fold in (0, 1):
        make_tested(folds=2, fold=fold)
    make_tested("sprint")
    groups = named("quick", "sprint")
    assert [g.experiment for g in overview(groups)] == ["sprint"]
    own = next(g for g in groups if g.recipe["folds"])
    assert own in overview(groups, own)
    of_folds = [g for g in groups if g.recipe["folds"]]
    assert overview(of_folds) == of_folds


def test_a_table_and_a_csv_file_hold_the_groups(three_seeds, tmp_path):
    text = repr(table(three_seeds))
    for words in ("71.40%", "620,810", "21.7", "case_study"):
        assert words in text
    write_csv(tmp_path / "t.csv", three_seeds)
    with (tmp_path / "t.csv").open() as file:
        (first, _) = csv.DictReader(file)
    assert (first["experiment"], first["seeds"], first["flops"]) == ("case_study", "3", "21697536")
    assert float(first["accuracy"]) == pytest.approx(0.714)


def test_a_repeated_seed_counts_once(runs):
    make_tested("quick", 700, "first")
    make_tested("quick", 800, "second")
    (only,) = group(find("first", "second"))
    assert (only.seeds, only.accuracy) == (1, 0.7)
