"""The command line says what is there and what can be done, in a line or a sentence."""

import os
from pathlib import Path
import subprocess
import sys

from fabricate import make_run
from papermill.exceptions import PapermillExecutionError
import pytest

from lab.cli import main
from lab.runner import _execute_one, execute, pending
from lab_utils import LabError
from lab_utils.core.params import load_settings, project_root
from lab_utils.core.run import OPTIONAL, RECORDS, Run


def test_lab_list_shows_every_run_and_the_damaged_ones(runs, capsys):
    make_run(runs / "done")
    make_run(runs / "begun", ("01_setup", "02_data"), data="shapes")
    make_run(runs / "odd").file("settings.yaml").write_text("experiment: [", encoding="utf-8")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "run", "experiment", "data", "model", "steps", "test", "accuracy", "report",
    ]  # fmt: skip
    assert [line.split() for line in lines[2:5]] == [
        ["begun", "quick", "shapes", "simplecnn", "2/6", "-", "no"],
        ["done", "quick", "cifar10", "simplecnn", "6/6", "78.12%", "no"],
        ["odd", "(damaged)", "-", "-", "-", "-", "-"],
    ]
    assert lines[-1].startswith("experiments: smoke, quick")


def test_a_run_on_shapes_says_how_to_use_cifar10_once_it_is_there(
    runs, tmp_path, monkeypatch, capsys
):
    chosen = load_settings("quick").model_dump(exclude={"data"})  # data: auto, as most experiments
    make_run(runs / "quick", data="shapes", **chosen)
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["run", "quick"]) == 0
    assert "CIFAR-10 can be found now" not in capsys.readouterr().out
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert main(["run", "quick"]) == 0
    text = capsys.readouterr().out
    assert "CIFAR-10 can be found now" in text
    assert "Every step is done" in text
    assert "test accuracy 78.12% (data: shapes, NOT CIFAR-10), wall time" in text


def test_the_optional_notebooks_are_executed_where_they_are_asked_for(runs):
    run = make_run(runs / "done")
    assert pending(run) == []
    assert pending(run, optional=True) == list(OPTIONAL)
    assert pending(run, "09_insight") == ["09_insight"]
    assert pending(run, "06_deployment") == ["06_deployment"]
    assert pending(run, "06_deployment", optional=True) == ["06_deployment", *OPTIONAL]


def test_a_run_from_an_earlier_step_voids_what_the_optional_notebooks_found(runs, monkeypatch):
    """Else a run could not begin anew on other data: 08 and 09 would hold it to the old ones."""
    run = make_run(runs / "done")
    for step in OPTIONAL:
        run.begin(step)
        run.finish()
    monkeypatch.setattr("lab.runner._execute_all", lambda *_: None)
    monkeypatch.setattr("lab.kernels.start_fork_server", lambda: None)
    execute(run, pending(run, "04_training"), "04_training")
    assert [step for step in RECORDS if run.done(step)] == list(RECORDS)[:3]


def test_the_process_is_prepared_before_torch_is_loaded(runs, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    code = (
        "import os, sys; from lab.cli import main; main(['list'])\n"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PASSIVE False"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "lab: stopped"),
        (MemoryError(), 2, "lab: Out of memory"),
        (OSError(12, "Cannot allocate memory"), 2, "lab: Out of memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), 2, "lab: Out of"),
    ],
)
def test_what_stops_the_command_while_it_is_imported_is_a_sentence(
    monkeypatch, capsys, error, code, sentence
):
    class Stops:
        def find_spec(self, name, *_):
            if name == "lab.commands":
                raise error

    monkeypatch.delitem(sys.modules, "lab.commands", raising=False)
    monkeypatch.delattr("lab.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Stops(), *sys.meta_path])
    assert main(["list"]) == code
    errors = capsys.readouterr().err.strip()
    assert errors.startswith(sentence) and "\n" not in errors


def test_streams_that_cannot_be_prepared_are_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr("os.open", lambda *_: Path("/no/such/device").stat())
    assert main(["list"]) == 2
    assert capsys.readouterr().err.startswith("lab: /no/such/device: No such file")


def test_a_cell_that_stopped_without_a_word_most_likely_had_no_memory(runs, monkeypatch):
    def fail(*_, **__):
        raise PapermillExecutionError(3, 3, "", "CellExecutionError", "", [])

    monkeypatch.setattr("papermill.execute_notebook", fail)
    with pytest.raises(LabError, match="01_setup most likely ran out of memory; set a smaller"):
        _execute_one(Run.create(load_settings("smoke")), "01_setup", None)


@pytest.mark.skipif(os.name != "posix", reason="closed streams as in a POSIX shell")
@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)])
def test_closed_streams_are_nothing_that_a_later_file_could_become(runs, tmp_path, closed):
    """As in `lab list <&- >&-`: a pipe that got the number 1 would be printed to."""
    code = (
        f"import os; [os.close(i) for i in {closed}]\n"
        "from lab.cli import main; code = main(['list'])\n"
        "opened = os.open(os.devnull, os.O_RDONLY)\n"
        "os._exit(code or 10 * (opened < 3))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=project_root()).returncode == 0


@pytest.mark.parametrize("command", ["report", "verify", "serve"])
def test_a_path_is_a_run_only_where_it_is_whole(runs, capsys, command):
    """``../x`` would be looked for beside ``runs/``, wherever the command is given."""
    assert main([command, "../x"]) == 2
    told = "lab: '../x' is no run; give its name, or its folder's absolute path.\n"
    assert capsys.readouterr().err == told
    assert main([command, str(runs / "none")]) == 2
    assert "No run named 'none'" in capsys.readouterr().err
