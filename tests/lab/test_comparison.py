"""The report's comparison and `lab compare`: from results made up here."""

import csv
from pathlib import Path
from statistics import mean, stdev

from fabricate import change, make_run, make_sound, make_tested, vouch, words
import pytest

from lab import comparison, report
from lab.cli import main
from lab_utils.core.run import OPTIONAL, STEPS, Run
from lab_utils.experiments import results
from lab_utils.experiments.recipes import group
from lab_utils.experiments.results import find_all
from lab_utils.experiments.significance import compare

FLOPS = 21_700_000


def make_full(path: Path, **settings) -> Run:
    """A run after `lab run --all`, which is compared with the committed results."""
    return make_run(path, (*STEPS, *OPTIONAL), **settings)


@pytest.fixture
def committed(tmp_path, runs, monkeypatch) -> Path:
    """An empty folder in place of ``report/results``."""
    folder = tmp_path / "results"
    for module in (results, comparison):
        monkeypatch.setattr(module, "results_dir", lambda: folder)
    return folder


def commit(place: Path, experiment: str, accuracy: float, **options) -> None:
    """A committed result that got ``accuracy`` of 10,000 images right."""
    correct = round(10_000 * accuracy)
    options = {"images": 10_000, "flops": FLOPS, "seconds": 60.0} | options
    make_tested(experiment, correct, place=place, **options)


@pytest.fixture
def course(committed) -> Path:
    """The course's three experiments with three seeds each, two of them alike."""
    for seed, luck in enumerate((0.0, 0.004, -0.002)):
        commit(committed, "exp1_baseline", 0.720 + luck, seed=seed)
        commit(committed, "exp2_low_lr", 0.770 + luck - 0.001 * seed, seed=seed)
        commit(committed, "exp3_big_batch", 0.769 - luck, seed=seed)
    return committed


def test_the_report_has_siblings_and_committed_results_in_one_table(course, runs):
    run = make_full(runs / "quick", correct=7812)
    make_run(runs / "again", correct=7900, seed=1)
    commit(course, "smoke", 0.99, data="shapes", fingerprint="beef", seconds=4)
    values, _ = comparison.section(run)
    assert (values["runs"], values["committed"], values["apart"]) == (11, 9, {"shapes": 1})
    rows = {row["experiment"]: row for row in values["rows"]}
    assert list(rows) == ["quick", "exp2_low_lr", "exp3_big_batch", "exp1_baseline"]
    assert [row["this"] for row in rows.values()] == [True, False, False, False]
    scores = [0.720, 0.724, 0.718]
    assert rows["exp1_baseline"]["accuracy"] == pytest.approx(mean(scores))
    half = 4.302653 * stdev(scores) / 3**0.5  # Student's t: the luck of the seeds alone
    assert rows["exp1_baseline"]["high"] > mean(scores) + half
    text = words(report.build(run), 8, 24)
    for number in ("72.07%", "78.56%", "620,810", "21.7 MFLOP"):
        assert number in text
    assert "1 min 0 s" not in text  # seconds of runs that were not made alike
    assert "9 of them from the results that come with the lab" in text
    assert "Left out is 1 run on shapes" in text
    assert "99.00%" not in text


def test_the_sentences_follow_the_tests(course, runs):
    values, drawn = comparison.section(make_full(runs / "quick", correct=7800))
    close, far, _ = values["course_sentences"]
    assert close.startswith("exp2_low_lr against exp3_big_batch: +0.13 points")
    assert "not distinguishable at 3 seeds" in close
    assert far.startswith("exp2_low_lr against exp1_baseline")
    assert " distinguishable at 3 seeds" in far.replace("not distinguishable", "")
    assert values["reference"] == "exp1_baseline"  # by validation, of those with several seeds
    pairs = {pair["label"]: pair for pair in values["pairs"]}
    assert set(pairs) == {"quick (epochs=5)", "exp2_low_lr", "exp3_big_batch"}
    assert pairs["exp2_low_lr"]["difference"] > pairs["exp3_big_batch"]["difference"] > 0
    assert [drawing.name for drawing in drawn] == ["compared_curves", "compared_pareto"]
    assert "at seeds 42 and 0" in values["sentences"][0]  # as models alone


def test_a_difference_is_that_of_the_other_recipe_from_the_reference(committed):
    for seed in range(3):
        commit(committed, "quick", 0.80 + 0.001 * seed, seed=seed)
        commit(committed, "sprint", 0.81 + 0.0012 * seed, seed=seed)
    sprint, quick = group(find_all(committed))
    for reference, other, sign in ((sprint, quick, -1), (quick, sprint, 1)):
        (pair,) = compare([sprint, quick], reference)
        row = comparison._pair(pair, reference)
        assert (row["label"], row["distinguishable"]) == (other.label, True)
        assert row["difference"] == pytest.approx(sign * 0.0102)
        assert row["low"] < row["difference"] < row["high"]


def test_a_plain_run_is_compared_with_the_runs_beside_it_alone(course, runs):
    """The course's experiments stand beside their quoted figures all the same."""
    run = make_run(runs / "quick")
    values, drawn = comparison.section(run)
    assert (values["runs"], values["committed"], values["left"], drawn) == (1, 0, 9, [])
    found = [r for r in find_all(course) if r.run.settings.experiment == "exp1_baseline"]
    trained = mean(r.history[-1].train_accuracy for r in found)
    assert values["course"]["exp1_baseline"]["train_accuracy"] == trained
    text = words(report.build(run), 8, 20)
    assert f"68.94% {trained:.2%} 0.796875 102/128 71.9% \u2013 85.7% 72.07%" in text
    assert "reaches 72.07% here" in text
    assert "exp2_low_lr against exp3_big_batch" not in text
    assert "No other tested run on the same data lies beside this one." in text
    assert "sets this run beside the 9 results that come with the lab" in text
    assert "lab sweep quick --seeds 3" in text
    make_run(runs / "again", correct=7900, seed=1)
    assert comparison.section(run)[0]["runs"] == 2


def test_the_course_recipes_are_tested_against_each_other(course, runs):
    text = words(report.build(make_full(runs / "quick")), 8, 24)
    assert "exp2_low_lr against exp3_big_batch: +0.13 points over 3 seeds" in text
    assert "Any two of these recipes differ in more than one setting" in text


def test_grids_and_ablations_are_chosen_by_validation(committed, runs):
    # By test accuracy another learning rate would be chosen, and the flip would do harm.
    for lr, accuracy, val in ((1e-3, 0.77, 0.753), (3e-3, 0.76, 0.763), (1e-2, 0.78, 0.743)):
        commit(committed, "case_study", accuracy, lr=lr, val_accuracy=val)
    commit(committed, "case_study", 0.80, lr=3e-3, flip=False, val_accuracy=0.703)
    run = make_full(runs / "quick")
    values, drawn = comparison.section(run)
    assert [row["value"] for row in values["sensitivity"]] == [1e-3, 3e-3, 1e-2]
    assert [row["chosen"] for row in values["sensitivity"]] == [False, True, False]
    (part,) = values["ablation"]
    assert (part["setting"], part["base"], part["value"]) == ("flip", True, False)
    assert part["val_difference"] == pytest.approx(-0.06)
    assert "compared_sensitivity" in [drawing.name for drawing in drawn]
    text = words(report.build(run), 8, 24)
    assert "case_study lr 0.003 1 76.30% \u2013 76.00%" in text
    assert "case_study flip yes no 1 \u22126.00 80.00%" in text


def test_of_many_recipes_the_best_of_each_experiment_and_the_own_are_shown(committed, runs):
    for i in range(16):  # the best by validation is the worst by test
        val = 0.81 - 0.005 * i
        commit(committed, "quick", 0.75 + 0.004 * i, lr=1e-4 * (i + 1), val_accuracy=val)
    run = make_full(runs / "quick", correct=6000)
    values, _ = comparison.section(run)
    assert values["recipes"] == 17
    assert [row["accuracy"] for row in values["rows"]] == [pytest.approx(0.75), 0.6]
    assert [row["this"] for row in values["rows"]] == [False, True]


def test_folds_are_one_cross_validation_and_no_recipes(committed, runs):
    for fold, accuracy in enumerate((0.75, 0.76)):
        commit(committed, "quick", accuracy, folds=2, fold=fold)
    commit(committed, "case_study", 0.79)
    run = make_full(runs / "quick", correct=7812)
    values, _ = comparison.section(run)
    assert values["recipes"] == len(values["rows"]) == 2
    (line,) = values["folds"]
    assert "2 of 2 folds: validation accuracy 62.25% in the mean" in line
    text = words(report.build(run), 8, 24)
    assert "validation accuracy 62.25% in the mean" in text
    assert "are not independent" in text


def test_the_course_recipe_is_the_one_that_nobody_varied(committed, runs):
    for seed in range(3):
        commit(committed, "exp1_baseline", 0.72, seed=seed, lr=5e-4)
        commit(committed, "exp1_baseline", 0.70 + 0.001 * seed, seed=seed)
    values, _ = comparison.section(make_full(runs / "quick"))
    assert values["course"]["exp1_baseline"]["accuracy"] == pytest.approx(0.701)


def test_lab_compare_shows_a_table_and_sentences_and_writes_csv(committed, capsys, tmp_path):
    for seed, (low, high) in enumerate([(700, 708), (710, 722), (690, 712)]):
        make_tested("quick", low, seed=seed)
        make_tested("case_study", high, seed=seed)
    assert main(["compare", "quick", "case_study", "--csv", str(tmp_path / "t.csv")]) == 0
    text = capsys.readouterr().out
    for found in ("71.40%", "620,810", "21.7", "not distinguishable at 3 seeds"):
        assert found in text
    assert "Recipes: 2; runs: 6; data: cifar10 (1,000 test images)." in text
    with (tmp_path / "t.csv").open() as file:
        (first, _) = csv.DictReader(file)
    assert (first["experiment"], first["seeds"]) == ("case_study", "3")
    assert float(first["accuracy"]) == pytest.approx(0.714)


@pytest.mark.parametrize("words", [["nothing"], ["quick", "case_study"]])
def test_lab_compare_refuses_in_one_sentence(committed, capsys, words):
    make_tested("quick")
    make_tested("case_study", fingerprint="beef")
    assert main(["compare", *words]) == 2
    errors = capsys.readouterr().err
    assert "'nothing' is no finished run" in errors or "Only runs on the same data" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", ["macro_f1", "test_loss", "ece"])
def test_a_changed_figure_with_a_new_checksum_is_refused_and_beside_others_left_out(
    course, runs, capsys, name
):
    run, other = make_sound(runs / "quick"), make_sound(runs / "neighbour", seed=1)
    assert comparison.section(run)[0]["damaged"] == {}
    change(other, "metrics.json", **{name: 0.9 * other.read_json("metrics.json")[name]})
    vouch(other)
    wrong = f"metrics.json does not follow from predictions.npz and history.csv beside it ({name})"
    for command in ("compare", "report"):
        assert main([command, "neighbour"]) == 2
        said = capsys.readouterr().err
        assert wrong in said and said.endswith("run 05_evaluation again.\n")
        assert said.count("\n") == 1
    left_out = comparison.section(run)[0]["damaged"]
    assert list(left_out) == ["neighbour"] and wrong in left_out["neighbour"]
    if name == "macro_f1":  # a report takes a second
        assert main(["report", "quick"]) == 0
        assert wrong in capsys.readouterr().err
        text = words(run.file("report.pdf"))
        assert "Left out, because a file is damaged: neighbour." in text


def test_a_damaged_neighbour_is_left_out_and_named(course, runs, capsys):
    run = make_full(runs / "quick", correct=7812)
    make_run(runs / "neighbour", correct=7900, seed=1).file("metrics.json").write_text("{")
    pdf = report.build(run)
    said = capsys.readouterr().err
    assert said.startswith("lab: left out of the comparison, neighbour: ")
    assert "metrics.json" in said and said.count("\n") == 1
    text = words(pdf)
    assert "Left out, because a file is damaged: neighbour." in text
    assert str(runs) not in text
