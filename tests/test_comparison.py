"""Finished runs side by side: what is loaded, what is tested, and what the sentences claim."""

import csv
import importlib.util
import sys

import numpy as np
import pytest
from scipy.stats import binomtest, t, ttest_rel

from lab.cli import main
from lab.sweep import plan
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_settings, project_root
from lab_utils.core.run import Run
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.experiments import effects, results, significance
from lab_utils.experiments.recipes import Group, group
from lab_utils.experiments.results import find
from lab_utils.experiments.sentences import cross_validations, paragraph, sentence
from lab_utils.experiments.significance import compare, one_batch

IMAGES = 1000
TARGETS = np.arange(IMAGES) % 10


def make_run(experiment="quick", correct=700, name=None, fingerprint="00ff", luck=0, **settings):
    """A tested run with ``correct`` right predictions, beginning at image ``luck``.

    ``experiment`` is a name or the settings themselves.
    """
    if isinstance(experiment, str):
        experiment = load_settings(experiment, **settings)
    run = Run.create(experiment, name)
    right = np.roll(np.arange(IMAGES) < correct, luck)
    logits = np.eye(10, dtype=np.float32)[np.where(right, TARGETS, (TARGETS + 1) % 10)]
    np.savez(
        run.file("predictions.npz"), logits=logits, targets=TARGETS, classes=list("abcdefghij")
    )
    low, high = wilson_interval(correct, IMAGES)
    metrics = {
        "test_images": IMAGES, "test_correct": correct, "test_accuracy": correct / IMAGES,
        "test_accuracy_low": low, "test_accuracy_high": high, "test_loss": 0.8,
        "val_accuracy": correct / IMAGES - 0.01, "parameters": 620810, "data": "cifar10",
        "data_is_cifar10": True, "train_seconds": 50.0,
    }  # fmt: skip
    write_json(run.file("metrics.json"), metrics)
    run.file("history.csv").write_text("epoch,val_accuracy,seconds\n1,0.5,25.0\n2,0.6,25.0\n")
    step = {
        "status": "done", "seconds": 60.0, "git_commit": "0123456789ab",
        "data": {"name": "cifar10", "fingerprint": fingerprint},
    }  # fmt: skip
    write_json(run.file("manifest.json"), {"04_training": step, "05_evaluation": step})
    return run


@pytest.fixture
def three_seeds(runs) -> list[Group]:
    """Two recipes with the seeds 0, 1 and 2, the second a point or so better."""
    for seed, (low, high) in enumerate([(700, 708), (710, 722), (690, 712)]):
        make_run("quick", low, seed=seed)
        make_run("case_study", high, seed=seed)
    return group(find("quick", "case_study"))


def test_a_run_is_loaded_with_all_that_a_comparison_needs(runs):
    make_run(seed=7)
    (result,) = find("quick-seed=7")
    assert (result.experiment, result.seed, result.model) == ("quick", 7, "simplecnn")
    assert (result.predicted == result.targets).sum() == 700
    assert result.predicted.dtype == np.uint8
    assert result.epochs == len(result.history) == 2
    assert result.flops == 21_697_536  # counted: a sweep does not run 03_model


def test_a_word_is_a_run_an_experiment_or_a_folder(runs):
    for seed in (0, 1):
        make_run(seed=seed)
    other = make_run("smoke", data="cifar10", name="mine")
    assert {r.seed for r in find("quick")} == {0, 1}
    assert [r.name for r in find("mine")] == ["mine"]
    assert len(find(str(runs))) == len(find("quick", "smoke", "mine")) == 3
    assert [r.name for r in find(str(other.path))] == ["mine"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("nothing", "'nothing' is no finished run"),
        ("sprint", "`lab sweep sprint` makes one"),
        ("half", "has no finished 05_evaluation"),
    ],
)
def test_a_word_that_names_nothing_finished_is_one_sentence(runs, capsys, word, sentence):
    Run.create(load_settings("smoke"), "half")
    assert main(["compare", word]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", ["metrics.json", "manifest.json", "predictions.npz"])
def test_a_damaged_file_is_named(runs, name):
    run = make_run()
    run.file(name).write_text('{"05_evaluation": {"status": "done"}}')
    with pytest.raises(LabError, match=name):
        find(str(run.path))


def test_runs_on_other_data_are_refused_in_one_sentence(runs, capsys):
    make_run("quick")
    make_run("case_study", fingerprint="beef")
    assert main(["compare", "quick", "case_study"]) == 2
    errors = capsys.readouterr().err
    assert "Only runs on the same data can be compared" in errors
    assert errors.count("\n") == 1


def test_seeds_of_a_recipe_are_one_group_with_students_interval(three_seeds):
    first, second = three_seeds
    assert (first.experiment, second.experiment) == ("case_study", "quick")
    assert second.seeds == (0, 1, 2)
    assert second.accuracy == pytest.approx(0.700)
    half = t.ppf(0.975, 2) * 0.010 / 3**0.5
    assert (second.low, second.high) == pytest.approx((0.700 - half, 0.700 + half))


def test_one_seed_has_wilsons_interval(runs):
    make_run()
    (only,) = group(find("quick"))
    assert (only.low, only.high) == wilson_interval(700, IMAGES)


def test_recipes_of_an_experiment_are_told_apart_by_what_differs(runs):
    make_run()
    make_run(lr=1e-3, correct=600, data="cifar10")  # what `auto` became is no difference
    assert [g.label for g in group(find("quick"))] == ["quick", "quick (lr=0.001)"]


def test_mcnemar_counts_what_one_model_alone_gets_right(runs):
    a, b = make_run("quick", 700), make_run("case_study", 700, luck=30)
    test = significance.mcnemar(results.load(a.path), results.load(b.path))
    assert (test.only_a, test.only_b, test.images) == (30, 30, IMAGES)
    assert test.p_value == 1
    c = make_run("sprint", 670, luck=20)  # right are 20 to 689
    test = significance.mcnemar(results.load(a.path), results.load(c.path))
    assert (test.only_a, test.only_b) == (30, 0)
    assert test.p_value == pytest.approx(binomtest(30, 30).pvalue)


def test_the_paired_test_is_made_seed_by_seed(three_seeds):
    (pair,) = compare(three_seeds)
    expected = ttest_rel([0.708, 0.722, 0.712], [0.700, 0.710, 0.690])
    assert pair.seeds == (0, 1, 2)
    assert pair.difference == pytest.approx(0.014)
    assert pair.p_value == pair.p_adjusted == pytest.approx(expected.pvalue)
    assert pair.low < 0 < pair.high
    assert len(pair.mcnemar) == 3


def test_p_values_are_corrected_for_the_number_of_pairs(runs):
    for seed, scores in enumerate([(700, 750, 760), (701, 752, 758), (699, 749, 762)]):
        for name, correct in zip(("quick", "case_study", "sprint"), scores, strict=True):
            make_run(name, correct, seed=seed)
    pairs = compare(group(find("quick", "case_study", "sprint")))
    raw = sorted(pair.p_value for pair in pairs)
    holm = sorted(pair.p_adjusted for pair in pairs)
    assert holm == pytest.approx([3 * raw[0], max(3 * raw[0], 2 * raw[1]), max(2 * raw[1], raw[2])])


def test_the_sentence_says_not_distinguishable_where_that_is_the_truth(three_seeds):
    (pair,) = compare(three_seeds)
    text = sentence(pair)
    assert "not distinguishable at 3 seeds" in text
    assert "case_study against quick: +1.40 points over 3 seeds" in text


def test_a_clear_difference_is_called_distinguishable(runs):
    for seed, (low, high) in enumerate([(700, 750), (701, 752), (699, 749)]):
        make_run("quick", low, seed=seed)
        make_run("case_study", high, seed=seed)
    (pair,) = compare(group(find("quick", "case_study")))
    assert pair.distinguishable
    assert ": distinguishable at 3 seeds" in sentence(pair)


def test_one_seed_tells_of_two_models_and_not_of_their_recipes(runs):
    make_run("quick", 700)
    make_run("case_study", 760)
    (pair,) = compare(group(find("quick", "case_study")))
    assert pair.p_value is None
    assert "McNemar" in sentence(pair)
    assert "what another seed would give is not known" in sentence(pair)


def test_the_same_difference_with_every_seed_is_no_proof(runs):
    for seed in (0, 1):
        make_run("quick", 700 + seed, seed=seed)
        make_run("case_study", 710 + seed, seed=seed)
    (pair,) = compare(group(find("quick", "case_study")))
    assert (pair.p_value, pair.low) == (None, None)
    assert "no spread" in sentence(pair)


def test_runs_that_share_no_seed_are_compared_as_models_only(runs):
    for seed in (0, 1):
        make_run("quick", 700, seed=seed)
        make_run("case_study", 710, seed=seed + 2)
    (pair,) = compare(group(find("quick", "case_study")))
    assert (pair.seeds, pair.p_value) == ((), None)
    assert "seeds 2 and 0" in sentence(pair)


def test_one_seed_without_predictions_is_not_said_to_be_another_seed(runs):
    make_run("quick", 700)
    make_run("case_study", 760).file("predictions.npz").unlink()
    (pair,) = compare(group(find("quick", "case_study")))
    assert sentence(pair).endswith("not tested: no two runs have predictions of the same images.")


def test_the_folds_of_a_recipe_are_one_cross_validation(runs):
    for fold, correct in enumerate((700, 710, 690)):
        make_run(correct=correct, folds=4, fold=fold, lr=1e-3)
    make_run(correct=800)
    groups = group(find("quick"))
    assert cross_validations(groups) == [
        "quick (folds=4, val_fraction=0.25, lr=0.001), 3 of 4 folds: validation accuracy 69.00% "
        "in the mean, with a standard deviation of 1.00 points from fold to fold."
    ]
    assert cross_validations(groups)[0] in paragraph(groups, compare(groups))
    assert not effects.sensitivity(groups[1:])  # a fold is no part of a recipe


def test_the_courses_accuracy_is_that_of_one_batch():
    found = one_batch(0.796875, 128)
    assert (found["correct"], found["images"]) == (102, 128)
    assert not found["of_split"]
    assert found["low"] < 0.72 and found["high"] > 0.85
    assert one_batch(0.77734375, 256)["correct"] == 199
    assert one_batch(0.75, 128)["of_split"]
    with pytest.raises(LabError, match="no whole number"):
        one_batch(0.7984, 128)


def test_sensitivity_goes_through_the_best_on_validation(runs):
    for lr, size, correct in [(1e-3, 64, 700), (1e-3, 128, 710), (2e-3, 64, 690), (2e-3, 128, 680)]:
        make_run(lr=lr, batch_size=size, correct=correct)
    found_effects = effects.sensitivity(group(find("quick")))
    found = [(e.setting, e.value, round(e.val_difference, 3), e.chosen) for e in found_effects]
    assert found == [
        ("batch_size", 64, -0.010, False), ("batch_size", 128, 0.0, True),
        ("lr", 1e-3, 0.0, True), ("lr", 2e-3, -0.030, False),
    ]  # fmt: skip


def test_ablation_compares_each_part_with_the_full_recipe(runs):
    make_run("simple_fast", 800)
    make_run("simple_fast", 790, label_smoothing=0.0)
    make_run("simple_fast", 740, alternate_flip=False)
    make_run(plan(["simple_fast"], {}, {}, ablate=["muon_lr"])[1], 760)  # None beside a number
    found_effects = effects.ablation(group(find("simple_fast")))
    assert [(e.setting, e.value) for e in found_effects] == [
        ("alternate_flip", False), ("muon_lr", None), ("label_smoothing", 0.0),
    ]  # fmt: skip
    assert [round(e.difference, 3) for e in found_effects] == [-0.06, -0.04, -0.01]


def test_lab_compare_shows_a_table_and_sentences_and_writes_csv(three_seeds, capsys, tmp_path):
    assert main(["compare", "quick", "case_study", "--csv", str(tmp_path / "t.csv")]) == 0
    text = capsys.readouterr().out
    for words in ("71.40%", "620,810", "21.7", "not distinguishable at 3 seeds"):
        assert words in text
    with (tmp_path / "t.csv").open() as file:
        (first, _) = csv.DictReader(file)
    assert (first["experiment"], first["seeds"]) == ("case_study", "3")
    assert float(first["accuracy"]) == pytest.approx(0.714)


def test_without_statsmodels_the_extra_is_named(three_seeds, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("statsmodels")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    assert main(["compare", "quick", "case_study"]) == 2
    assert "pip install -e .[compare]" in capsys.readouterr().err


@pytest.fixture
def take_results(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("taken", project_root() / ".ci/take_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for where in (module, results):
        monkeypatch.setattr(where, "results_dir", lambda: tmp_path / "results")
    return module


def test_results_are_taken_small_and_load_as_the_run_does(runs, tmp_path, take_results):
    make_run(seed=3, lr=1e-3)
    (whole,) = find("quick")
    take_results.main(["quick"])
    folder = tmp_path / "results" / "quick" / whole.name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150e3
    taken = results.load(folder)
    assert taken.test_accuracy == whole.test_accuracy
    assert taken.flops == whole.flops
    assert (taken.predicted == whole.predicted).all()
    text = (tmp_path / "results" / "README.md").read_text()
    assert "`lab sweep quick --set seed=3 lr=0.001`" in text


def test_a_result_that_names_a_local_path_is_not_taken(runs, take_results):
    run = make_run()
    metrics = run.read_json("metrics.json")
    write_json(run.file("metrics.json"), metrics | {"weights": "/home/someone/best.pt"})
    with pytest.raises(LabError, match="/home/someone"):
        take_results.main(["quick"])
