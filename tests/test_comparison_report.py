"""The report's comparison, its figures and the choice of runs: from results made up here."""

import json
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from test_report import make_run, words

from lab import comparison, report
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.settings import Settings
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.experiments import effects, figures, results, significance
from lab_utils.experiments.recipes import group
from lab_utils.experiments.results import gather, largest
from lab_utils.experiments.significance import compare


def fabricate(
    place: Path,
    experiment: str,
    accuracy: float,
    seed: int = 0,
    name: str | None = None,
    data: str = "cifar10",
    fingerprint: str = "00ff",
    seconds: float = 60.0,
    images: int = 10_000,
    flops: int | None = 21_700_000,
    parameters: int = 620_810,
    **settings,
) -> Path:
    """A folder of ``report/results`` whose figures follow from ``accuracy``, its images random."""
    folder = place / experiment / (name or f"{experiment}-seed={seed}")
    folder.mkdir(parents=True)
    chosen = Settings(experiment=experiment, seed=seed, **settings)
    (folder / "settings.yaml").write_text(json.dumps(chosen.model_dump(mode="json")))
    write_json(
        folder / "manifest.json",
        {
            step: {"status": "done", "seconds": seconds, "started": "2026-03-02T10:00:00+01:00"}
            | {"data": {"name": data, "fingerprint": fingerprint}}
            for step in ("04_training", "05_evaluation")
        },
    )
    correct = round(accuracy * images)
    low, high = wilson_interval(correct, images)
    write_json(
        folder / "metrics.json",
        {
            "data": data, "parameters": parameters, "flops": flops, "train_seconds": seconds,
            "test_accuracy": correct / images, "test_accuracy_low": low,
            "test_accuracy_high": high, "test_loss": 1.2 - accuracy, "test_images": images,
            "val_accuracy": accuracy + 0.003, "model": chosen.model, "seed": seed,
        },
    )  # fmt: skip
    rows = ["epoch,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds,images_per_second"]
    for epoch in range(1, chosen.epochs + 1):
        reached = (accuracy + 0.003) * (1 - 0.55 * 0.6 ** (6 * epoch / (chosen.epochs + 2)))
        rows.append(f"{epoch},1,{reached - 0.02},1,{reached},0.001,{seconds / chosen.epochs},1000")
    (folder / "history.csv").write_text("\n".join(rows) + "\n")
    # Easy images are easy for every model: which are right depends on a common difficulty.
    targets = np.arange(images, dtype=np.uint8) % 10
    difficulty = np.random.default_rng(0).random(images)
    own = np.random.default_rng([seed, *experiment.encode(), *(name or "").encode()])
    order = np.argsort(difficulty + 0.25 * own.random(images))
    predicted = (targets + 1) % 10
    predicted[order[:correct]] = targets[order[:correct]]
    saved = {"predicted": predicted, "targets": targets, "classes": np.array(list("abcdefghij"))}
    np.savez_compressed(folder / "predictions.npz", **saved)
    return folder


@pytest.fixture
def committed(tmp_path, runs, monkeypatch) -> Path:
    """An empty folder in place of ``report/results``."""
    folder = tmp_path / "results"
    for module in (results, comparison):
        monkeypatch.setattr(module, "results_dir", lambda: folder)
    return folder


@pytest.fixture
def course(committed) -> Path:
    """The course's three experiments with three seeds each, two of them alike."""
    for seed, luck in enumerate((0.0, 0.004, -0.002)):
        fabricate(committed, "exp1_baseline", 0.720 + luck, seed, epochs=5)
        fabricate(committed, "exp2_low_lr", 0.770 + luck - 0.001 * seed, seed, epochs=10, lr=5e-4)
        fabricate(committed, "exp3_big_batch", 0.769 - luck, seed, epochs=10, batch_size=256)
    return committed


def test_the_report_has_siblings_and_committed_results_in_one_table(course, runs):
    run = make_run(runs / "quick", correct=7812)
    make_run(runs / "again", correct=7900, seed=1)
    fabricate(course, "smoke", 0.99, data="shapes", fingerprint="beef", seconds=4)
    values, _ = comparison.section(run)
    assert (values["runs"], values["committed"], values["apart"]) == (11, 9, {"shapes": 1})
    rows = {row["experiment"]: row for row in values["rows"]}
    assert list(rows) == ["quick", "exp2_low_lr", "exp3_big_batch", "exp1_baseline"]
    assert [row["this"] for row in rows.values()] == [True, False, False, False]
    scores = [0.720, 0.724, 0.718]
    assert rows["exp1_baseline"]["accuracy"] == pytest.approx(mean(scores))
    half = 4.302653 * stdev(scores) / 3**0.5  # Student's t with two degrees of freedom
    assert rows["exp1_baseline"]["high"] == pytest.approx(mean(scores) + half)
    text = words(report.build(run), 12, 24)
    for number in ("72.07%", "78.56%", "620,810", "21.7 MFLOP", "1 min 0 s"):
        assert number in text
    assert "9 of them from the results that come with the lab" in text
    assert "Left out is 1 run on shapes" in text
    assert "99.00%" not in text


def test_the_sentences_follow_the_tests(course, runs):
    values, drawn = comparison.section(make_run(runs / "quick", correct=7800))
    close, far, _ = values["course_sentences"]
    assert close.startswith("exp2_low_lr against exp3_big_batch: +0.13 points")
    assert "not distinguishable at 3 seeds" in close
    assert far.startswith("exp2_low_lr against exp1_baseline")
    assert " distinguishable at 3 seeds" in far.replace("not distinguishable", "")
    assert values["confounded"] == ["batch_size", "epochs", "lr"]
    assert values["reference"] == "exp2_low_lr"  # by validation, of those with several seeds
    pairs = {pair["label"]: pair for pair in values["pairs"]}
    assert set(pairs) == {"quick", "exp1_baseline", "exp3_big_batch"}
    assert pairs["exp1_baseline"]["difference"] < 0 < pairs["quick"]["difference"]
    assert set(drawn) == {"compared_curves", "compared_pareto"}
    assert "not tested" in values["sentences"][0]  # one seed, other seeds, no predicted classes


def test_a_difference_is_that_of_the_other_recipe_from_the_reference(committed):
    for seed in range(3):
        fabricate(committed, "quick", 0.80 + 0.001 * seed, seed, epochs=6)
        fabricate(committed, "sprint", 0.81 + 0.0012 * seed, seed, epochs=2)
    sprint, quick = group(gather(committed))
    for reference, other, sign in ((sprint, quick, -1), (quick, sprint, 1)):
        (pair,) = compare([sprint, quick], reference)
        row = comparison._row(pair, reference)
        assert (row["label"], row["distinguishable"]) == (other.label, True)
        assert row["difference"] == pytest.approx(sign * 0.0102)
        assert row["low"] < row["difference"] < row["high"]


def test_p_values_are_corrected_for_the_pairs_that_are_told(committed):
    for seed in range(3):
        for i, name in enumerate(("a", "b", "c", "d", "e")):
            luck = 0.001 * ((seed + 1) * (i + 1) ** 2 % 7)
            fabricate(committed, name, 0.8 - 0.02 * i + luck, seed)
    groups = group(gather(committed))
    for pair in compare(groups, groups[0]):
        assert pair.p_value <= pair.p_adjusted <= 4 * pair.p_value + 1e-12


def test_the_course_batches_stand_beside_what_the_same_recipes_reach(course, runs):
    text = words(report.build(make_run(runs / "quick")), 12, 24)
    assert "0.796875 102/128 71.9% \u2013 85.7% 78.9% \u2013 80.5% 72.07%" in text
    assert "exp2_low_lr against exp3_big_batch: +0.13 points over 3 seeds" in text
    assert "Any two of these recipes differ in more than one setting" in text


def test_grids_and_ablations_are_chosen_by_validation(committed, runs):
    for lr, accuracy in ((1e-3, 0.75), (3e-3, 0.76), (1e-2, 0.74)):
        fabricate(committed, "case_study", accuracy, name=f"lr={lr}", lr=lr)
    fabricate(committed, "case_study", 0.70, name="lr=0.003-flip=false", lr=3e-3, flip=False)
    run = make_run(runs / "quick")
    values, drawn = comparison.section(run)
    assert [row["value"] for row in values["sensitivity"]] == [1e-3, 3e-3, 1e-2]
    assert [row["chosen"] for row in values["sensitivity"]] == [False, True, False]
    (part,) = values["ablation"]
    assert (part["setting"], part["base"], part["value"]) == ("flip", True, False)
    assert part["val_difference"] == pytest.approx(-0.06)
    assert "compared_sensitivity" in drawn
    text = words(report.build(run), 12, 24)
    assert "case_study lr 0.003 1 76.30% \u2013 76.00%" in text
    assert "case_study flip yes no 1 \u22126.00 70.00%" in text


def test_a_run_outside_a_grid_does_not_hide_what_the_grid_shows(committed):
    for lr in (1e-3, 3e-3):
        for size in (64, 128):
            fabricate(committed, "quick", 0.7 + lr, name=f"{lr}-{size}", lr=lr, batch_size=size)
    fabricate(committed, "quick", 0.9, name="long", lr=3e-3, batch_size=128, epochs=20, flip=False)
    rows = effects.varied(group(gather(committed)))
    assert [(row["setting"], row["value"]) for row in rows] == [
        ("batch_size", 64), ("batch_size", 128), ("lr", 1e-3), ("lr", 3e-3),
    ]  # fmt: skip
    assert rows[2]["val_difference"] == pytest.approx(-0.002)
    assert rows[3]["chosen"] and rows[3]["val_difference"] == 0


def test_of_many_recipes_the_best_of_each_experiment_and_the_own_are_shown(committed, runs):
    for i in range(13):
        fabricate(committed, "quick", 0.75 + 0.005 * i, name=f"q{i}", lr=1e-4 * (i + 1))
    run = make_run(runs / "quick", correct=6000)
    values, _ = comparison.section(run)
    assert values["recipes"] == 14
    assert [row["accuracy"] for row in values["rows"]] == [pytest.approx(0.81), 0.6]
    assert [row["this"] for row in values["rows"]] == [False, True]


def test_without_other_runs_one_sentence_says_how_to_get_them(committed, runs):
    text = words(report.build(make_run(runs / "quick")), 12, 20)
    assert "No other tested run on the same data is there to compare with." in text
    assert "lab sweep quick --seeds 3" in text
    assert "not measured" not in text


def test_without_statsmodels_all_but_the_tests_is_there(course, runs, monkeypatch):
    def broken(*_):
        raise LabError("Tests of significance need statsmodels; install the extra.")

    monkeypatch.setattr(significance, "_holm", broken)
    text = words(report.build(make_run(runs / "quick")), 12, 24)
    assert "The differences are not tested. Tests of significance need statsmodels" in text
    assert "72.07%" in text


def test_damaged_results_and_other_data_are_left_out(committed, runs):
    fabricate(committed, "quick", 0.8)
    fabricate(committed, "sprint", 0.8)
    fabricate(committed, "smoke", 0.9, data="shapes", fingerprint="beef")
    fabricate(committed, "case_study", 0.8, images=500)
    (committed / "sprint" / "sprint-seed=0" / "metrics.json").write_text("{")
    found = gather(committed)
    assert sorted(result.experiment for result in found) == ["case_study", "quick", "smoke"]
    make_run(runs / "beside")
    assert {r.experiment for r in largest([*gather(), *found])} == {"quick"}
    assert largest([]) == gather(runs / "nowhere") == []


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_the_figures_hold_every_recipe_and_nothing_is_cut_off(count, recwarn):
    labels = [f"recipe {i} (batch_size=64, lr=0.00{i})" for i in range(count)]
    histories = {s: [[0.4, 0.5 + i / 30], [0.3, 0.6, 0.7]][: i + 1] for i, s in enumerate(labels)}
    rows = [
        {"label": label, "accuracy": 0.7 + 0.02 * i, "low": 0.68, "high": 0.9,
         "seconds": 10.0 * (i + 1), "parameters": 10_000 * (9 - i), "flops": None}
        for i, label in enumerate(labels)
    ]  # fmt: skip
    effects = [
        {"experiment": "quick", "setting": setting, "value": value, "chosen": i == 0,
         "val_accuracies": [0.7, 0.71 + i / 100]}
        for setting in ("lr", "model")
        for i, value in enumerate([0.1, 0.01, None, "resnet20", "compactnet_standard"][:count])
    ]  # fmt: skip
    drawn = (figures.curves(histories), figures.pareto(rows), figures.sensitivity(effects))
    for figure, shown in zip(drawn, (labels, labels, ["quick"] * (count > 0)), strict=True):
        figure.draw_without_rendering()
        box = figure.get_tightbbox().padded(-0.02)
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
        texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert texts == shown
    assert [str(warning.message) for warning in recwarn] == []


def test_a_line_joins_numbers_and_not_names():
    effects = [
        {"experiment": "quick", "setting": setting, "value": value, "chosen": False,
         "val_accuracies": [0.7]}
        for setting, values in (("lr", (0.1, 0.01)), ("model", ("simplecnn", "resnet20")))
        for value in values
    ]  # fmt: skip
    numbers, names = figures.sensitivity(effects).axes
    assert numbers.lines[0].get_linestyle() == "-"
    assert [text.get_text() for text in numbers.get_xticklabels()] == ["0.01", "0.1"]
    assert {line.get_linestyle() for line in names.lines} == {"None"}


def test_the_pareto_front_holds_what_nothing_cheaper_equals():
    assert figures.pareto_front([3, 1, 2, 2], [0.8, 0.7, 0.6, 0.7]) == [1, 0]
    assert figures.pareto_front([], []) == []
