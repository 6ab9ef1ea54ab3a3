"""Sweeps: checked before anything trains, continued when stopped, not stopped by one failure."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

from fabricate import make_tested
from filelock import FileLock
import pytest

from lab.cli import main
from lab.sweep import parse_grid, plan, sweep, time_left
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import default_name, project_root
from lab_utils.core.run import Run


def names(*experiments, changes=None, grid=None, **options):
    return [default_name(s) for s in plan(experiments, changes or {}, grid or {}, **options)]


@pytest.fixture
def executed(runs, monkeypatch):
    """Stands in for the notebooks: the names of the runs that were executed; batch 512 fails."""
    seen = []

    def fake(run, steps):
        seen.append(run.name)
        if run.settings.batch_size == 512:
            raise LabError("batch_size=512 is larger than the data.")
        if run.settings.batch_size == 256:
            raise KeyboardInterrupt
        done = {step: {"status": "done", "seconds": 10.0} for step in steps}
        write_json(run.file("manifest.json"), done)

    monkeypatch.setattr("lab.sweep.execute", fake)
    monkeypatch.setattr("lab.sweep.result", lambda run: "test accuracy 75.00%")
    return seen


def test_a_run_that_another_process_works_on_is_named_and_the_sweep_goes_on(runs, monkeypatch):
    monkeypatch.setattr("lab.kernels.start_fork_server", lambda: None)
    monkeypatch.setattr("lab.runner._execute_all", lambda *_: None)
    monkeypatch.setattr("lab.sweep.result", lambda _: "done")
    settings = plan(["smoke"], {}, {}, seeds=2)
    first = Run.create(settings[0])
    with FileLock(first.file(".lock")):
        failed = sweep(settings)
    assert list(failed) == [first.name]
    assert failed[first.name].startswith("Another process is working on run 'smoke-seed=0'")


def test_seeds_are_counted_from_0_and_every_recipe_gets_each(runs):
    assert names("smoke", "quick", seeds=2) == [
        "smoke-seed=0", "quick-seed=0", "smoke-seed=1", "quick-seed=1",
    ]  # fmt: skip


def test_without_seeds_the_run_is_the_one_of_lab_run(runs):
    assert names("smoke") == ["smoke"]


def test_a_grid_is_every_combination_each_once(runs):
    grid = parse_grid(["lr=1e-3,5e-4,0.001", "batch_size=64,128"])
    found = names("quick", grid=grid)
    assert len(found) == len(set(found)) == 4
    assert "quick-lr=0.0005-batch_size=64" in found


def test_a_grid_takes_lists_as_values():
    assert parse_grid(["widths=[32, 64, 64],[64, 64, 64]"]) == {
        "widths": [[32, 64, 64], [64, 64, 64]]
    }


def test_an_ablation_is_the_recipe_and_each_part_alone(runs):
    found = names("simple_fast", ablate=["muon_lr", "label_smoothing", "lr=1e-3"])
    assert found == [
        "simple_fast", "simple_fast-muon_lr=None", "simple_fast-label_smoothing=0.0",
        "simple_fast-lr=0.001",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["smoke", "quack"], "No experiment 'quack'"),
        (["smoke", "--set", "epoch=3"], "did you mean 'epochs'"),
        (["smoke", "--set", "foo=null"], "Unknown setting 'foo'"),
        (["smoke", "--set", "epochs=null"], "Setting epochs=None"),
        (["smoke", "--grid", "lr=1e-3,quick"], "lr='quick'"),
        (["smoke", "--grid", "lr"], "--grid takes key=value,value"),
        (["smoke", "--grid", "lr=1", "lr=2"], "lr is given twice"),
        (["smoke", "--grid", "lr=1", "--set", "lr=2"], "lr is given twice"),
        (["smoke", "--grid", "seed=1", "--seeds", "2"], "seed is given twice"),
        (["smoke", "--grid", "lr=1", "--ablate", "flip"], "not both"),
        (["smoke", "--seeds", "0"], "number of seeds from 1"),
        (["smoke", "--ablate", "foo"], "Unknown setting 'foo'"),
        (["smoke", "--ablate", "flip=true"], "changes nothing in smoke"),
    ],
)
def test_a_mistake_in_any_run_stops_the_sweep_before_it_begins(executed, capsys, words, sentence):
    assert main(["sweep", *words]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1
    assert not executed


def test_a_folder_with_other_settings_stops_the_sweep_before_it_begins(executed, capsys):
    other = plan(["smoke"], {"epochs": 3}, {})[0]
    Run.create(other, "smoke-seed=1")
    assert main(["sweep", "smoke", "--seeds", "2"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert not executed


def test_a_run_that_fails_is_told_at_the_end_and_stops_no_other(executed, capsys):
    assert main(["sweep", "smoke", "--grid", "batch_size=32,512,128"]) == 1
    assert len(executed) == 3
    done = capsys.readouterr()
    assert "done: 2, finished before: 0, failed: 1" in done.out
    assert done.err == "lab: smoke-batch_size=512 failed: batch_size=512 is larger than the data.\n"


def test_what_is_finished_is_skipped_and_the_rest_goes_on(executed, capsys):
    assert main(["sweep", "smoke", "--seeds", "2"]) == 0
    assert main(["sweep", "smoke", "--seeds", "3"]) == 0
    assert executed == ["smoke-seed=0", "smoke-seed=1", "smoke-seed=2"]
    text = capsys.readouterr().out
    assert "2 of 3 runs are finished already" in text
    assert "run 3 of 3: smoke-seed=2 (about 0:00:20 left)" in text


def test_ctrl_c_stops_the_whole_sweep(executed, capsys):
    assert main(["sweep", "smoke", "--grid", "batch_size=256,128"]) == 130
    assert executed == ["smoke-batch_size=256"]
    assert "goes on from the last whole epoch" in capsys.readouterr().err


def test_the_time_left_is_that_of_the_same_recipe_or_scaled_by_epochs(runs):
    done = make_tested("smoke", seconds=10, seed=0)  # 20 seconds in two steps, for 5 epochs
    todo = [Run.create(s) for s in plan(["smoke"], {"seed": 1}, {"epochs": [5, 10]})]
    assert time_left(todo[:1], [done]) == " (about 0:00:20 left)"
    assert time_left(todo, [done]) == " (about 0:01:00 left)"
    assert time_left(todo, []) == ""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signal")
def test_a_killed_sweep_goes_on_with_the_epoch_and_the_run_it_was_in(tmp_path):
    """Two runs: the first is killed after an epoch, then continued; the second is another's."""
    environment = os.environ | {"LAB_RUNS_DIR": str(tmp_path), "LAB_SET": ""}
    command = [
        sys.executable, "-m", "lab", "sweep", "smoke", "--grid", "seed=0,1",
        "--set", "train_size=300", "test_size=200", "epochs=12",
    ]  # fmt: skip
    options = {"env": environment, "cwd": project_root(), "text": True}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **options)
    name = "smoke-train_size=300-test_size=200-seed=0-epochs=12"
    last = tmp_path / name / "checkpoints" / "last.pt"
    deadline = time.monotonic() + 120
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert last.is_file()
    assert not (tmp_path / name / "metrics.json").exists()

    with FileLock(tmp_path / name.replace("seed=0", "seed=1") / ".lock"):
        again = subprocess.run(command, capture_output=True, **options)
    assert again.returncode == 1, again.stderr
    assert "done: 1, finished before: 0, failed: 1" in again.stdout
    assert "Another process is working on run" in again.stderr
    assert json.loads((tmp_path / name / "training.json").read_text())["resumed_from_epoch"] >= 1
    with (tmp_path / name / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
    assert json.loads((tmp_path / name / "metrics.json").read_text())["test_images"] == 200
