"""Finished runs: which there are, what is loaded of them, and what is said of damaged ones."""

import json
import os

from fabricate import change, make_tested, vouch
import numpy as np
import pytest

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.manifest import written
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run
from lab_utils.evaluation.metrics import counted, summarize
from lab_utils.experiments import results
from lab_utils.experiments.effects import ablation, sensitivity
from lab_utils.experiments.folds import cross_validations
from lab_utils.experiments.recipes import group
from lab_utils.experiments.results import find, find_all
from lab_utils.training.history import Epoch, read_history, write_history


def test_a_run_is_loaded_with_all_that_a_comparison_needs(runs):
    make_tested(seed=7)
    (result,) = find("quick-seed=7")
    assert result.run.settings == load_settings("quick", seed=7)
    assert (result.predicted == result.targets).sum() == 700
    assert result.predicted.shape == result.targets.shape == (1000,)
    assert result.probabilities.shape == (1000, 10)
    assert (result.probabilities.argmax(1) == result.predicted).all()
    assert result.probabilities.sum(1) == pytest.approx(1)
    assert len(result.history) == result.run.settings.epochs
    assert isinstance(result.history[0], Epoch)
    assert result.flops == 21_697_536


def test_the_results_that_come_with_the_lab_load():
    found = find(str(results.results_dir()))
    assert len(found) == len(list(results.results_dir().glob("*/*/metrics.json"))) >= 25
    assert all(result.predicted is not None for result in found)
    chosen = [max(epoch.val_accuracy for epoch in result.history) for result in found]
    assert chosen == pytest.approx([result.val_accuracy for result in found])


def test_the_committed_results_fill_every_cell_of_notebook_07():
    groups = group(find(str(results.results_dir())))
    seeds = {g.label: g.seeds for g in groups}
    for varied in ("", " (lr=0.0005)", " (batch_size=256)"):  # one factor at a time
        assert seeds["exp1_baseline" + varied] == 3
    tried = {(e.setting, e.value) for e in sensitivity(groups)}
    assert tried >= {("lr", 5e-4), ("lr", 1e-3), ("batch_size", 128), ("batch_size", 256)}
    assert ablation(groups)
    assert any(len(found.results) == found.k == 5 for found in cross_validations(groups))
    (fast,) = (g for g in groups if g.label == "simple_fast")
    assert fast.probabilities.shape == (3, 10_000, 10)
    assert ((fast.probabilities.argmax(2) == fast.targets) == fast.right).mean() > 0.999


def test_a_word_is_a_run_an_experiment_or_a_folder(runs):
    for seed in (0, 1):
        make_tested(seed=seed)
    other = make_tested("smoke", data="cifar10", name="mine")
    assert {r.run.settings.seed for r in find("quick")} == {0, 1}
    assert [r.run.name for r in find("mine")] == ["mine"]
    assert len(find(str(runs))) == len(find("quick", "smoke", "mine")) == 3
    assert [r.run.name for r in find(str(other.path))] == ["mine"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("nothing", "'nothing' is no finished run"),
        ("sprint", "`lab sweep sprint` makes one"),
        ("half", "has no finished 05_evaluation"),
    ],
)
def test_a_word_that_names_nothing_finished_is_one_sentence(
    runs, tmp_path, monkeypatch, word, sentence
):
    monkeypatch.setattr(results, "results_dir", lambda: tmp_path / "results")
    Run.create(load_settings("smoke"), "half")
    with pytest.raises(LabError, match=sentence):
        find(word)


@pytest.mark.parametrize(
    "name", ["settings.yaml", "metrics.json", "manifest.json", "history.csv", "predictions.npz"]
)
def test_a_damaged_file_is_named(runs, name):
    run = make_tested()
    run.file(name).write_text('{"05_evaluation": {"status": "done"}}')
    with pytest.raises(LabError, match=name):
        find(str(run.path))


RIGHT = np.arange(1000) % 10  # the classes of the test images


def save(run, **arrays):
    np.savez(run.file("predictions.npz"), **{"classes": list("abcdefghij")} | arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.file("predictions.npz").unlink(),
        lambda run: run.file("predictions.npz").write_bytes(b""),
        lambda run: save(run, logits=np.float32(1), targets=np.int64(1)),
        lambda run: save(run, logits=np.full((1000, 10), np.nan), targets=np.arange(1000) % 10),
        lambda run: save(run, logits=np.eye(10), targets=np.arange(1000) % 10),
        lambda run: save(run, targets=np.arange(1000) % 10),
        lambda run: save(run, logits=np.eye(10)[[0] * 1000], targets=np.full(1000, 10)),
        lambda run: save(run, predicted=np.full(1000, 10), targets=np.arange(1000) % 10),
        lambda run: save(run, logits=np.full((1000, 10), -np.inf), targets=np.arange(1000) % 10),
        lambda run: save(run, predicted=RIGHT + 0.5, targets=RIGHT),
        lambda run: save(run, predicted=RIGHT.astype(str), targets=RIGHT),
        lambda run: save(run, predicted=RIGHT[:, None], targets=RIGHT[:, None]),
        lambda run: save(run, predicted=RIGHT, targets=RIGHT, classes="abcdefghij"),
    ],
    ids=[
        "missing",
        "empty",
        "no dimension",
        "not finite",
        "another number",
        "no logits",
        "no such class",
        "no such answer",
        "minus infinity",
        "between classes",
        "text",
        "a column",
        "no list of classes",
    ],
)
def test_predictions_that_are_none_are_damage(runs, change):
    run = make_tested()
    change(run)
    with pytest.raises(LabError, match=r"predictions\.npz is missing or damaged"):
        find("quick")


def test_metrics_of_another_run_are_refused_and_the_mend_is_named(runs):
    run, other = make_tested(correct=700), make_tested(correct=712, seed=1)
    run.file("metrics.json").write_bytes(other.file("metrics.json").read_bytes())
    with pytest.raises(LabError, match=r"follow from predictions\.npz.*test_accuracy,.*run 05"):
        find(run.name)
    assert [r.run.name for r in find_all(runs)] == [other.name]


@pytest.mark.parametrize("name", summarize(np.eye(10), np.arange(10)))
def test_every_figure_that_follows_from_the_predictions_is_computed_again(runs, name):
    run = make_tested()
    metrics = run.read_json("metrics.json")
    count = name in ("test_images", "test_correct")
    for value in (699 if count else metrics[name] * 0.9999, None):
        write_json(run.file("metrics.json"), metrics | {name: value})
        wrong = rf"metrics\.json .*\({name}\).*; run 05_evaluation again\.$"
        with pytest.raises(LabError, match=wrong):
            find("quick")


def test_a_validation_accuracy_that_is_not_the_best_of_the_history_is_refused(runs):
    run = make_tested()
    best = run.read_json("metrics.json")["val_accuracy"]
    change(run, "metrics.json", val_accuracy=best - 0.01)
    wrong = r"predictions\.npz and history\.csv beside it \(val_accuracy\):.*run 05_evaluation"
    with pytest.raises(LabError, match=wrong):
        find("quick")
    change(run, "metrics.json", val_accuracy=best)
    assert find("quick")[0].val_accuracy == best


def test_probabilities_are_of_each_image_and_class_and_within_0_and_1(runs):
    run = make_tested()
    (result,) = find("quick")
    classes = {"predicted": result.predicted, "targets": result.targets}
    good = result.probabilities.astype(np.float16)
    save(run, **classes, probabilities=good)
    assert (find("quick")[0].probabilities == good).all()
    other = np.roll(good, 1, axis=1)  # of other classes than the predicted ones
    unlike = good * 9 - 3, good * np.nan, good * 0, good / 2, other, good > 0.5, good.astype("c8")
    for bad in (good[:, :9], good[:999], good.astype(str), good[0, 0], *unlike):
        save(run, **classes, probabilities=bad)
        with pytest.raises(LabError, match=r"predictions\.npz is missing or damaged"):
            find("quick")


def test_of_predicted_classes_alone_what_follows_is_computed_again(runs):
    """As of the committed results, which have no logits: their loss cannot be."""
    run = make_tested()
    (result,) = find("quick")
    save(run, predicted=result.predicted.astype(np.uint8), targets=result.targets.astype(np.uint8))
    figures = counted(result.predicted, result.targets, 10)
    assert len(figures) == 8
    metrics = run.read_json("metrics.json")
    for name, value in metrics.items():
        if isinstance(value, float) and name[:5] in ("test_", "macro", "ece"):
            write_json(run.file("metrics.json"), metrics | {name: 0.99 * value})
            if name in figures:
                with pytest.raises(LabError, match=rf"\({name}\)"):
                    find("quick")
            else:
                assert find("quick")[0].test_loss <= result.test_loss


def test_a_damaged_file_of_the_training_is_found_too(runs):
    run = make_tested()
    manifest = run.manifest
    manifest["04_training"]["sha256"] = written(run.path, "04_training", "training.json")
    write_json(run.file("manifest.json"), manifest)
    assert find("quick")
    rows = run.file("history.csv").read_text().splitlines(keepends=True)
    run.file("history.csv").write_text("".join(rows[:-1]))
    with pytest.raises(LabError, match=r"history\.csv is not as 04_training left it"):
        find("quick")


def test_a_history_of_other_epochs_is_refused_where_no_checksum_finds_it(runs):
    """As of the committed results, which have none."""
    run = make_tested()
    rows = read_history(run.file("history.csv"))
    more = rows[-1]._replace(epoch=len(rows) + 1, val_accuracy=0.1)
    write_history(run.file("history.csv"), [*rows, more])
    vouch(run)
    with pytest.raises(LabError, match=r"does not follow .*\(epochs\)"):
        find("quick")


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_file_that_is_a_link_to_itself_is_missing(runs):
    run = make_tested()
    run.file("predictions.npz").unlink()
    run.file("predictions.npz").symlink_to("predictions.npz")
    with pytest.raises(LabError, match=r"predictions\.npz is missing"):
        find("quick")


def test_more_than_256_classes_are_told_apart(runs):
    run = make_tested(correct=0)
    targets = np.arange(1000) % 300
    logits = np.eye(300, dtype=np.float32)[(targets + 256) % 300]  # equal in 8 bits, mostly
    save(run, logits=logits, targets=targets, classes=[f"c{i}" for i in range(300)])
    change(run, "metrics.json", **summarize(logits, targets))
    assert (find("quick")[0].predicted != targets).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("test_accuracy", 9.9), ("val_accuracy", -1), ("test_loss", float("inf")), ("flops", 10**400),
     ("parameters", 0), ("test_accuracy_low", float("nan"))],
)  # fmt: skip
def test_a_number_that_cannot_be_is_damage_of_that_run_alone(runs, name, value):
    run, other = make_tested(), make_tested(seed=1)
    metrics = run.read_json("metrics.json") | {name: value}
    run.file("metrics.json").write_text(json.dumps(metrics))
    damaged = {}
    assert [r.run.name for r in find_all(runs, damaged=damaged)] == [other.name]
    assert f"damaged ({name})" in damaged[run.name]


@pytest.mark.parametrize("file", ["manifest.json", "settings.yaml"])
def test_a_run_that_cannot_be_opened_is_named(runs, file):
    run, other = make_tested(), make_tested(seed=1)
    run.file(file).write_text("{")
    damaged = {}
    assert [r.run.name for r in find_all(runs, damaged=damaged)] == [other.name]
    assert file in damaged[run.name]
    again = {}
    assert [r.run.name for r in find("quick", damaged=again)] == [other.name]
    assert again == damaged


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_no_reader_waits_for_a_pipe_or_reads_a_folder(runs):
    run, other = make_tested(), make_tested(seed=1)
    for make in (os.mkfifo, os.mkdir):
        for name in ("settings.yaml", "manifest.json", "metrics.json", "history.csv"):
            whole = run.file(name).read_bytes()
            run.file(name).unlink()
            make(run.file(name))
            assert [r.run.name for r in find_all(runs)] == [other.name], name
            run.file(name).rmdir() if make is os.mkdir else run.file(name).unlink()
            run.file(name).write_bytes(whole)


def test_a_number_that_is_none_is_damage(runs):
    run = make_tested()
    change(run, "metrics.json", test_loss="high")
    with pytest.raises(LabError, match=r"metrics\.json is damaged \(test_loss\)"):
        find("quick")


def test_damaged_results_are_left_out_and_other_data_told_apart(runs):
    for name, options in {
        "quick": {}, "sprint": {}, "smoke": {"data": "shapes", "fingerprint": "beef"},
        "case_study": {"images": 500, "correct": 400},
    }.items():  # fmt: skip
        make_tested(name, place=runs.parent / "results", flops=1, **options)
    (damaged,) = runs.parent.glob("results/sprint/*/metrics.json")
    damaged.write_text("{")
    found = find_all(runs.parent / "results")
    names = [result.run.settings.experiment for result in found]
    assert sorted(names) == ["case_study", "quick", "smoke"]
    assert len({result.test_split for result in found}) == 3
    assert find_all(runs / "nowhere") == []


def test_metrics_that_lack_a_figure_are_of_another_version(runs):
    run = make_tested()
    metrics = run.read_json("metrics.json")
    del metrics["test_loss"]
    write_json(run.file("metrics.json"), metrics)
    with pytest.raises(LabError, match=r"another version of the lab, without test_loss; run 05_ev"):
        results.load(run)
