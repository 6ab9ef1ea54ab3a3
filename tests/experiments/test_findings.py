"""The sentences of notebook 07 say what the results are."""

from dataclasses import replace

from fabricate import make_tested
import numpy as np

from lab_utils.experiments import effects, findings
from lab_utils.experiments.folds import cross_validations
from lab_utils.experiments.recipes import named
from lab_utils.experiments.significance import compare


def test_the_fronts_are_told_and_who_needs_less_than_the_costliest(three_seeds):
    case_study, quick = three_seeds  # 71.4% and 70.0% with the same network
    small = replace(quick, experiment="small", accuracy=0.9, parameters=1000, flops=1_000_000)
    text = findings.pareto([case_study, quick, small])
    assert "By parameters the front is `small`; by operations `small`." in text
    assert "The most operations has `case_study`, 71.4%; `small` reaches at least as much" in text
    assert "with 5% of them" in text
    alone = findings.pareto([case_study, quick])
    assert "none with fewer reaches as much" in alone
    assert "2 of the recipes train the same network, simplecnn" in alone
    assert "lie 1.4 points" in alone


def test_the_spread_is_the_median_of_the_recipes_and_names_the_largest(three_seeds):
    text = findings.spread(three_seeds)  # 0.72 and 1.00 points
    assert "0.86 points, the median of 2 recipes" in text
    assert "the largest is 1.00 points, of `quick`" in text
    assert "unknown" in findings.spread([])


def test_the_curves_name_the_best_by_validation_and_the_best_of_the_shortest(three_seeds):
    case_study, quick = three_seeds  # by test accuracy the first is better
    short = replace(quick, experiment="sprint", epochs=2, val_accuracy=0.1, accuracy=0.99)
    text = findings.curves([case_study, quick, short])
    assert "is that of `quick`, 65.0% after 6 epochs" in text
    assert "2 epochs, the best is `sprint` with 10.0%" in text


def test_sensitivity_and_ablation_are_told_by_validation(runs):
    for lr, val in ((1e-3, 0.71), (2e-3, 0.75)):
        for seed in (0, 1):
            make_tested(correct=700, lr=lr, seed=seed, val_accuracy=val + seed / 100)
    make_tested(correct=990, lr=2e-3, seed=0, flip=False, val_accuracy=0.5)
    groups = named("quick")
    text = findings.sensitivity(effects.sensitivity(groups))
    assert "`quick`: lr=0.002 is best, 75.50%; its seeds reach from 75.00% to 76.00%." in text
    assert "lr=0.001 is 4.00 points lower." in text
    alone = [replace(g, results=g.results[:1]) for g in groups]
    assert "its seeds reach" not in findings.sensitivity(effects.sensitivity(alone))
    told = findings.ablation(effects.ablation(groups))
    assert "in `quick` with flip=False: 25.50 points of validation accuracy" in told


def test_the_spread_of_the_folds_stands_beside_that_of_the_seeds(runs):
    for fold, correct in enumerate((700, 710)):
        make_tested(correct=correct, folds=2, fold=fold, val_accuracy=0.6)
    for seed in (0, 1):
        make_tested(correct=800 + 10 * seed, val_fraction=0.5, seed=seed)
    (validated,) = cross_validations(named("quick"))
    text = findings.folds(validated)
    assert "a standard deviation of 0.00 points from fold to fold" in text
    assert "these models spread by 0.71 points" in text
    assert "validation accuracy spreads by 0.35 points, more than from fold to fold" in text
    assert "From seed" not in findings.folds(replace(validated, whole=None))


def test_what_an_ensemble_gains_is_counted_from_the_mean_and_costs_every_network(three_seeds):
    _, quick = three_seeds
    text = findings.ensemble(quick, 0.73, 0.04)
    assert "73.00% together, 70.00% one by one in the mean, 71.00% the best: +3.00 points" in text
    assert "for 3 times the parameters" in text
    assert "p = 0.04" in text


def test_two_models_are_counted_image_by_image(three_seeds):
    text = repr(findings.both_models(three_seeds, np.array([[690, 18], [10, 282]]), 0.1849))
    assert [line.split()[:3] for line in text.splitlines()[2:]] == [
        ["right", "690", "18"], ["wrong", "10", "282"],
    ]  # fmt: skip
    assert "quick, p = 0.18" in text


def test_the_summary_is_chosen_by_validation(three_seeds):
    case_study, quick = (
        replace(g, val_accuracy=v) for g, v in zip(three_seeds, (0.1, 0.9), strict=True)
    )
    text = findings.what_we_found([case_study, quick], 6, compare([case_study, quick]))
    assert "Chosen by validation accuracy: `quick`, with a test accuracy of **70.00%**" in text
    assert "not distinguishable: 1" in text
    assert "By parameters the front is" in text
    assert "front" not in findings.what_we_found([quick], 3, [])  # nothing to compare with
    assert findings.what_we_found([], 0, []) == "- Recipes: 0; runs: 0."


def test_the_table_says_what_is_told_apart_as_recipes_and_what_as_models(runs):
    for seed, (low, high) in enumerate([(700, 750), (701, 752), (699, 749)]):
        make_tested("quick", low, seed=seed)
        make_tested("case_study", high, seed=seed)
    make_tested("sprint", 900)
    lines = repr(findings.verdicts(compare(named("quick", "case_study", "sprint")))).splitlines()[
        2:
    ]
    found = {tuple(line.split()[:2]): line.split()[-1] for line in lines}
    assert found["case_study", "quick"] == "yes"
    assert found["sprint", "quick"] == "models"


def test_what_is_compared_is_counted_and_what_is_missing_can_be_made(three_seeds):
    results = [r for g in three_seeds for r in g.results]
    assert findings.found(results, three_seeds, 4) == (
        "Groups: 2; runs: 6; data: cifar10, 1,000 test images; left out for other data: 4."
    )
    assert "Groups: 0; runs: 0; data: none;" in findings.found([], [], 0)
    assert findings.missing("No ablation", "quick").text == (
        "No ablation to show yet; for example, make some with: lab sweep quick"
    )
