"""`lab verify`: what holds, what does not, and which file is to blame; a rerun and its bands."""

import os
import shutil

from fabricate import change, make_sound, vouch
import numpy as np
import pytest
import torch

from lab import verify
from lab.cli import main
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_settings
from lab_utils.core.run import STEPS, Run
from lab_utils.model import networks
from lab_utils.training.checkpoints import Best, save_best
from lab_utils.training.history import best_of, read_history

CLASSES = tuple("abcdefghij")


@pytest.fixture
def run(runs) -> Run:
    """A whole run whose files agree: metrics of its predictions, weights of its best epoch."""
    run = make_sound(runs / "quick")
    row = best_of(read_history(run.file("history.csv")))
    torch.manual_seed(0)
    model = networks.build("simplecnn", 10, 32)
    about = Best(
        "simplecnn", {}, 32, CLASSES, ((0.5,) * 3, (0.5,) * 3), row.epoch, row.val_accuracy
    )
    save_best(run.file("checkpoints/best.pt"), model, about)
    vouch(run)
    return run


def flip(best):
    """One bit of one weight, in a file that is whole."""
    values = torch.load(best, weights_only=True)
    values["model"]["features.0.bias"].view(torch.int32)[0] ^= 1
    torch.save(values, best)


def wrong(run):
    return {finding.what for finding in verify.verify(run) if not finding.good}


def test_a_run_as_it_was_left_is_verified(run, capsys):
    assert main(["verify", "quick"]) == 0
    text = capsys.readouterr().out
    assert "NO" not in text
    for found in (*STEPS, "11 figures follow from 200 predictions", "620,810 parameters"):
        assert found in text


def test_what_was_changed_is_named_and_the_exit_code_is_1(run, capsys):
    change(run, "metrics.json", macro_f1=0.99, val_accuracy=0.99)
    assert main(["verify", "quick"]) == 1
    text = capsys.readouterr().out
    assert "not as it left them: metrics.json; run it again" in text
    assert "metrics.json does not follow from predictions.npz and history.csv" in text
    assert "beside it (macro_f1, val_accuracy): one is of another run or was changed" in text


def test_metrics_of_another_version_of_the_lab_are_called_so(run):
    metrics = run.read_json("metrics.json")
    del metrics["ece"]
    write_json(run.file("metrics.json"), metrics)
    (found,) = [finding.found for finding in verify.verify(run) if finding.what == "metrics"]
    assert "metrics.json is damaged or of another version of the lab, without ece; run 05" in found


def test_files_of_another_run_with_the_checksums_of_none_are_found_by_what_they_say(run):
    """Without checksums, as in a run of an older lab: the numbers contradict each other."""
    manifest = run.manifest
    for entry in manifest.values():
        del entry["sha256"]
    write_json(run.file("manifest.json"), manifest)
    found = verify.verify(run)
    assert all(finding.good for finding in found)
    assert sum("an older lab made it" in finding.found for finding in found) == len(STEPS)
    lines = run.file("history.csv").read_text().splitlines(keepends=True)
    run.file("history.csv").write_text("".join(lines[:-1]))
    assert wrong(run) == {"history", "weights", "metrics"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("history.csv", {"04_training", "history", "weights", "metrics"}),
        ("checkpoints/best.pt", {"04_training", "weights"}),
        ("predictions.npz", {"05_evaluation", "metrics"}),
        ("metrics.json", {"05_evaluation", "metrics"}),
        ("training.json", {"04_training", "history"}),
        ("figures/loss_curves.svg", {"04_training"}),
    ],
)
def test_a_file_that_is_gone_or_empty_is_one_finding_of_each_who_needs_it(run, name, found):
    run.file(name).write_bytes(b"")
    assert wrong(run) == found
    run.file(name).unlink()
    assert wrong(run) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": np.arange(200) % 10 + 0.5}, {"targets": (np.arange(200) % 10)[:, None]},
        {"targets": np.arange(0), "logits": np.ones((0, 10))}, {"logits": np.ones((200, 10)) + 0j},
        {"logits": np.full((200, 10), np.longdouble("1e999"))},
    ],
    ids=["between classes", "a column", "no images", "complex", "too large"],
)  # fmt: skip
def test_predictions_that_cannot_be_are_one_finding(run, wrong):
    with np.load(run.file("predictions.npz")) as saved:
        np.savez(run.file("predictions.npz"), **dict(saved) | wrong)
    vouch(run)
    (found,) = [finding for finding in verify.verify(run) if not finding.good]
    assert found.what == "metrics" and "run 0" in found.found


@pytest.mark.parametrize("values", [{"epoch": 1.5}, {"val_accuracy": "0.8"}, {"val_accuracy": [1]}])
def test_weights_with_values_that_cannot_be_are_one_finding(run, values):
    best = run.file("checkpoints/best.pt")
    torch.save(torch.load(best, weights_only=True) | values, best)
    vouch(run)
    (found,) = [finding for finding in verify.verify(run) if not finding.good]
    assert found.what == "weights" and "best.pt is damaged" in found.found


def test_a_run_without_a_finished_step_has_nothing_to_verify(runs):
    with pytest.raises(LabError, match="no finished step"):
        verify.verify(Run.create(load_settings("smoke")))


@pytest.fixture
def pair(run, monkeypatch):
    """The run and a copy of it, on one machine and of committed code."""
    monkeypatch.setattr("lab_utils.setup.check.cpu_name", lambda: "Example CPU @ 2.60 GHz")
    shutil.copytree(run.path, run.path.with_name("again"))
    return run, Run.open(run.path.with_name("again"))


def good(pair):
    return [finding.good for finding in verify.compare(*pair)]


def other_weights(again):
    values = torch.load(again.file("checkpoints/best.pt"))
    values["model"]["features.0.bias"][0] += 1e-6
    torch.save(values, again.file("checkpoints/best.pt"))


def test_a_rerun_under_the_same_conditions_has_the_same_bits(pair):
    assert good(pair) == [True, True]
    other_weights(pair[1])
    assert good(pair) == [False, True]
    change(
        pair[1],
        "metrics.json",
        test_accuracy=pair[0].read_json("metrics.json")["test_accuracy"] + 0.01,
    )
    assert good(pair) == [False, False]


@pytest.mark.parametrize("differs", ["threads", "processor", "code"])
def test_a_rerun_under_other_conditions_may_differ_within_the_band(pair, monkeypatch, differs):
    run, again = pair
    if differs == "threads":
        choices = again.read_json("training.json")["threads"]
        change(again, "training.json", threads=[choices[0] | {"threads": 1}])
    elif differs == "processor":
        monkeypatch.setattr("lab_utils.setup.check.cpu_name", lambda: "Another CPU")
    else:
        manifest = again.manifest
        manifest["04_training"]["git_commit"] = "ba9876543210"
        write_json(again.file("manifest.json"), manifest)
    other_weights(again)
    first = run.read_json("metrics.json")
    half = (first["test_accuracy_high"] - first["test_accuracy_low"]) / 2
    for off, within in ((verify.BAND, True), (verify.BAND + half + 0.001, False)):
        names = ("test_accuracy", "test_accuracy_low", "test_accuracy_high")
        change(again, "metrics.json", **{name: first[name] + off for name in names})
        assert good(pair) == [True, within]
    assert differs in verify.compare(*pair)[1].found


def test_a_rerun_on_other_data_compares_nothing(pair):
    manifest = pair[1].manifest
    manifest["04_training"]["data"]["fingerprint"] = "beef"
    write_json(pair[1].file("manifest.json"), manifest)
    with pytest.raises(LabError, match="used other data"):
        verify.compare(*pair)


def lacks(name, key):
    def cut(run):
        values = run.read_json(name)
        del (values["04_training"] if name == "manifest.json" else values)[key]
        write_json(run.file(name), values)

    return cut


@pytest.mark.parametrize(
    "older",
    [
        *(lacks("manifest.json", key) for key in ("git_commit", "python", "versions", "data")),
        lacks("training.json", "threads"),
        lacks("hardware.json", "cpu"),
    ],
)
def test_a_run_that_does_not_tell_how_it_was_trained_is_not_trained_again(
    run, monkeypatch, capsys, older
):
    older(run)
    vouch(run)
    monkeypatch.setattr("lab.runner.execute", lambda *_: pytest.fail("it trains"))
    assert main(["verify", "quick", "--rerun"]) == 2
    errors = capsys.readouterr().err
    assert "does not tell how it was trained" in errors and errors.count("\n") == 1


def test_rerun_trains_and_tests_the_same_settings_elsewhere_and_leaves_nothing(
    run, runs, monkeypatch
):
    seen = []

    def execute(again, steps):
        seen.append((again.settings, again.path, tuple(steps)))
        raise LabError("enough")

    monkeypatch.setattr("lab.runner.execute", execute)
    with pytest.raises(LabError, match="enough"):
        verify.rerun(run)
    ((settings, path, steps),) = seen
    assert settings == run.settings.model_copy(update={"threads": 2})
    assert steps == ("04_training", "05_evaluation")
    assert not path.exists() and not path.is_relative_to(runs)
    assert Run.load("quick").path == run.path


@pytest.mark.faults
@pytest.mark.skipif(
    "'faults' not in config.getoption('markexpr')", reason="trains: pytest -m faults"
)
def test_a_real_run_is_repeated_to_the_last_bit_and_no_other_passes_for_it(
    runs, monkeypatch, capsys, record_property
):
    monkeypatch.setenv("GIT_DIR", os.devnull)  # or uncommitted code would excuse other bits
    small = ["data=shapes", "train_size=2000", "test_size=500", "epochs=1", "threads=1"]
    assert main(["run", "smoke", "--name", "tiny", "--set", *small]) == 0
    run = Run.load("tiny")

    def rows():
        code = main(["verify", "tiny", "--rerun"])
        lines = capsys.readouterr().out.splitlines()
        return code, [line.split()[-1] for line in lines if line.startswith("rerun:")]

    assert rows() == (0, ["yes", "yes"])
    best = run.file("checkpoints/best.pt")
    before = best.read_bytes()
    flip(best)
    assert rows() == (1, [])  # its checksum has told already
    vouch(run)
    assert rows() == (1, ["NO", "yes"])
    best.write_bytes(before)
    text = run.file("settings.yaml").read_text()
    run.file("settings.yaml").write_text(text.replace("seed: 42", "seed: 43"))
    vouch(run)
    code, (weights, _) = rows()
    assert (code, weights) == (1, "NO")
    means = "yes; NO for one bit of the weights, or another seed"
    record_property("fault", ("`lab verify --rerun` of a real run", 3, means))
