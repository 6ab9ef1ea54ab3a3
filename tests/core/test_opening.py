"""Which run a notebook opens: by name, by settings, or the one that was opened last."""

import os
import subprocess
import sys

from fabricate import begin
import pytest

from lab_utils import LabError
from lab_utils.core.opening import open_run
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run


@pytest.fixture(autouse=True)
def empty(runs, monkeypatch):
    monkeypatch.delenv("LAB_RUN", raising=False)


def finished(step, *given):
    run = open_run(step, *given)
    run.finish()
    return run


def test_the_next_notebook_opens_the_run_of_the_last_one():
    first = open_run("01_setup", "smoke", changes="epochs=3")
    assert not first.opened_last
    second = open_run("02_data")
    assert (second.name, second.settings) == (first.name, first.settings)
    assert second.opened_last


def test_changes_in_a_later_notebook_travel_to_the_one_after_it():
    open_run("01_setup", "quick")
    changed = finished("04_training", None, None, "epochs=2 lr=1e-3")
    assert (changed.settings.epochs, changed.settings.lr) == (2, 1e-3)
    assert changed.name != "quick"
    assert open_run("05_evaluation").name == changed.name


def test_changes_that_change_nothing_stay_in_the_run():
    run = open_run("01_setup", "quick", "mine", "lr=1e-3")
    assert open_run("04_training", changes="lr=1e-3").name == run.name
    assert open_run("04_training", None, "mine", "lr=0.001").name == run.name


def test_an_experiment_goes_before_the_run_that_was_opened_last():
    open_run("01_setup", "smoke", "mine")
    assert open_run("01_setup", "smoke").name == "smoke"


def test_with_no_run_yet_it_is_quick():
    assert open_run("01_setup").settings.experiment == "quick"


@pytest.mark.parametrize("left", ["", "gone", "../..", "\0"])
def test_what_the_last_run_left_is_no_reason_to_stop(runs, left):
    open_run("01_setup", "smoke")
    (runs / ".current").write_text(left)
    assert open_run("01_setup").name == "quick"


def test_the_lab_command_does_not_change_which_run_was_opened_last(monkeypatch):
    open_run("01_setup", "smoke", "mine")
    monkeypatch.setenv("LAB_RUN", "quick")
    open_run("01_setup", "quick", "quick")
    monkeypatch.delenv("LAB_RUN")
    assert open_run("02_data").name == "mine"


def test_a_value_may_hold_spaces(tmp_path):
    folder = tmp_path / "my images"
    run = open_run("01_setup", "smoke", changes=f"data=folder data_folder={folder}  epochs=3")
    assert (run.settings.data_folder, run.settings.epochs) == (str(folder), 3)


@pytest.mark.parametrize("wrong", ["epochs", "epochs=0", "epohcs=3", "data=folder"])
def test_refused_changes_leave_nothing_behind(runs, wrong):
    with pytest.raises(LabError):
        open_run("01_setup", "smoke", changes=wrong)
    assert not runs.exists()


def test_a_named_run_keeps_its_settings():
    Run.create(load_settings("smoke", epochs=3), "mine")
    assert open_run("01_setup", "smoke", "mine").settings.epochs == 3
    with pytest.raises(LabError, match="epochs=3, not 4"):
        open_run("01_setup", "smoke", "mine", "epochs=4")
    with pytest.raises(LabError, match="experiment=smoke, not quick"):
        open_run("01_setup", "quick", "mine")


def test_a_missing_predecessor_is_named_and_no_folder_made(runs):
    with pytest.raises(LabError, match="run 04_training first"):
        open_run("05_evaluation", "smoke")
    assert not runs.exists()


def test_the_runs_that_have_it_are_named():
    for name in ("one", "two"):
        finished("04_training", "smoke", name)
    with pytest.raises(LabError, match="to a run that has it: 'two', 'one'"):
        open_run("05_evaluation", "quick")


def test_a_step_that_is_running_is_named_as_such():
    begun = begin("04_training", "smoke").manifest["04_training"]["started"][11:16]
    with pytest.raises(LabError, match=f"04_training, which began at {begun}: wait for it"):
        open_run("05_evaluation", "smoke")


def test_opening_a_run_prepares_the_process_before_torch_is_loaded(runs):
    code = (
        "import os, sys; from lab_utils.core.opening import open_run\n"
        "assert 'OMP_WAIT_POLICY' not in os.environ\n"  # an import does nothing
        "open_run('01_setup', 'smoke')\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'])\n"
    )
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | given
        if given:
            code = code.replace("assert 'OMP_WAIT_POLICY' not in os.environ\n", "")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment
        )
        assert done.stdout.strip() == expected, done.stderr


def test_a_cell_that_goes_on_after_its_step_was_begun_anew_says_so():
    for step in ("04_training", "05_evaluation"):
        last = finished(step, "smoke")
    again = open_run("05_evaluation", "smoke")
    begin("04_training", "smoke")  # in another notebook: 05 is void
    with pytest.raises(LabError, match="05_evaluation of run 'smoke' was begun anew elsewhere"):
        again.use_data("shapes", "f00d")
    assert last.name == again.name


def test_folds_that_are_taken_back_leave_no_share_behind():
    run = open_run("01_setup", "smoke", changes="folds=5")
    assert run.settings.val_fraction == 0.2
    assert open_run("02_data", changes="folds=null").settings == load_settings("smoke")


def test_odd_words_are_names_or_refused():
    assert open_run("01_setup", "smoke", 2024).name == "2024"
    assert open_run("02_data", None, None, None).name == "2024"
    with pytest.raises(LabError, match="epochs twice"):
        open_run("02_data", changes="epochs=3 epochs=2")
