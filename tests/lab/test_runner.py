"""The whole line: notebooks, run folder, PDF, command line; killed and continued."""

import getpass
import json
import os
from pathlib import Path
import platform
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

from fabricate import begin
from filelock import FileLock
from nbformat.reader import NotJSONError
import numpy as np
from papermill.exceptions import PapermillExecutionError
from pypdf import PdfReader
import pytest
from real import needs_cifar10
import torch

from lab import runner
from lab.cli import main
from lab.runner import execute
from lab_utils import LabError
from lab_utils.core.files import one_training
from lab_utils.core.params import load_settings, project_root
from lab_utils.core.run import OPTIONAL, STEPS, Run
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import load, load_test
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.hardware import choose
from lab_utils.training.fit import EVAL_BATCH, Quiet, fit
from lab_utils.training.loop import Training

FILES = [
    "settings.yaml", "manifest.json", "hardware.json", "data.json", "model.json", "history.csv",
    "training.json", "predictions.npz", "metrics.json", "evaluation.json", "deployment.json",
    "figures.json", "report.pdf", "checkpoints/best.pt", "checkpoints/last.pt",
]  # fmt: skip
# Where weights are compared the number of threads is fixed: beside a busy program it may change.
SMOKE = ["run", "smoke", "--name", "smoke", "--set", "threads=1"]
SMALL = ["--set", "data=shapes", "train_size=2000", "test_size=500", "threads=1", "epochs=2"]


def watched(runs):
    """The environment for runs in ``runs``; what they reach for is noted in ``reached`` there."""
    notes = {
        "LAB_TEST_LOG": str(runs / "reached"),
        "PYTHONPATH": str(project_root() / "tests/watched"),
    }
    return os.environ | {"LAB_RUNS_DIR": str(runs), "LAB_SET": ""} | notes


def lab(*words, runs, **options):
    """The ``lab`` command in a process of its own; its run folders go to ``runs``."""
    environment = watched(runs)
    command = [sys.executable, "-m", "lab", *words]
    return subprocess.run(
        command, env=environment, cwd=project_root(), capture_output=True, text=True, **options
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One smoke run, shared: killed in its training (`kill -9`), then finished by the same command.

    What both said, and the run folder.
    """
    runs = tmp_path_factory.mktemp("runs")
    begun = subprocess.Popen(
        [sys.executable, "-m", "lab", *SMOKE],
        env=watched(runs), cwd=project_root(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    last = runs / "smoke" / "checkpoints" / "last.pt"
    deadline = time.monotonic() + 120
    while not last.is_file() and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(begun.pid, signal.SIGKILL)
    before, errors = begun.communicate()
    assert last.is_file(), errors
    done = lab(*SMOKE, runs=runs)
    assert done.returncode == 0, done.stderr
    return before, done, runs / "smoke"


def steps_of(output):
    return [line.split()[-1] for line in output.splitlines() if line.startswith("[")]


def test_a_headless_run_says_what_it_does_and_ends_with_the_result(smoke):
    before, done, folder = smoke
    lines = done.stdout.splitlines()
    assert steps_of(before) == list(STEPS[:4])
    assert steps_of(done.stdout) == list(STEPS[3:])
    assert 1 <= sum("epoch " in line for line in lines) <= 4
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"test accuracy {metrics['test_accuracy']:.2%}" in lines[-1]
    assert "NOT CIFAR-10" in lines[-1]
    assert lines[-1].endswith("report.pdf")
    assert done.stderr == ""


def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not(smoke, monkeypatch):
    _, _, folder = smoke
    monkeypatch.setenv("LAB_RUNS_DIR", str(folder.parent))
    monkeypatch.delenv("LAB_SET")
    whole = begin("04_training", "smoke", "whole", threads=1)
    training = Training(whole.settings, load(whole), choose(whole.settings))
    fit(training, whole.path, progress=Quiet())
    weights = [
        torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
        for run in (whole.path, folder)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_every_step_left_what_the_house_plan_names(smoke):
    *_, folder = smoke
    for name in FILES:
        assert (folder / name).is_file(), name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [manifest[step]["status"] for step in STEPS] == ["done"] * 6
    opened = manifest["04_training"]["test_split_opened"]
    assert {look["by"] for look in opened} == {"05_evaluation", "06_deployment"}
    assert not list(folder.rglob(".*.tmp.*"))


def test_a_run_writes_nothing_beside_the_notebooks_that_it_executes(smoke):
    *_, folder = smoke
    begun = (folder / "settings.yaml").stat().st_mtime
    files = (project_root() / "notebooks").iterdir()
    assert [path.name for path in files if path.stat().st_mtime > begun] == []


def test_a_run_reaches_no_other_machine_and_writes_where_it_may(smoke):
    """Python's own sockets and files, of `lab` and of every process that it started."""
    *_, folder = smoke
    lines = (folder.parent / "reached").read_text().splitlines()
    reached = {kind: set() for kind in ("connect", "write")}
    for kind, what in (line.split(" ", 1) for line in lines):
        reached[kind].add(what)
    assert reached["connect"] <= {"127.0.0.1", "localhost", "::1"}
    allowed = (folder.parent, Path(tempfile.gettempdir()), project_root() / "data", Path("/dev"))
    outside = {
        path
        for path in map(Path, reached["write"])
        if not any(map(path.is_relative_to, allowed)) and "__pycache__" not in path.parts
    }
    assert len(reached["write"]) > 50
    assert outside == set()


def test_no_file_of_a_run_tells_whose_machine_it_was(smoke):
    """Also inside what is packed: exports, checkpoints, arrays, the PDF."""
    *_, folder = smoke
    homes = {project_root(), Path.home(), folder.parent, Path(tempfile.gettempdir())}
    secrets = [
        str(path).encode() for path in homes if len(str(path)) > 6
    ]  # "/tmp" is 4 bytes of noise
    secrets += [n.encode() for n in (getpass.getuser(), platform.node()) if len(n) > 5]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
                contents += [" ".join(archive.namelist()).encode()]
        if path.suffix == ".pdf":
            page = PdfReader(path)
            contents += [
                str(page.metadata).encode(),
                *(p.extract_text().encode() for p in page.pages),
            ]
        for secret in secrets:
            assert not any(secret in content for content in contents), (path.name, secret)


def test_a_finished_run_vouches_for_its_files(smoke, monkeypatch, capsys):
    *_, folder = smoke
    monkeypatch.setenv("LAB_RUNS_DIR", str(folder.parent))
    assert main(["verify", folder.name]) == 0
    assert capsys.readouterr().out.count("files as it left them") == len(STEPS)


def test_the_metrics_follow_from_the_predictions(smoke):
    *_, folder = smoke
    metrics = json.loads((folder / "metrics.json").read_text())
    with np.load(folder / "predictions.npz") as stored:
        logits, targets = stored["logits"], stored["targets"]
    assert len(targets) == metrics["test_images"] == 2000
    assert metrics["test_accuracy"] == (logits.argmax(1) == targets).mean()
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    assert metrics["test_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_every_figure_has_a_caption_and_alt_text(smoke):
    *_, folder = smoke
    figures = json.loads((folder / "figures.json").read_text())
    assert len(figures) >= 15
    for figure in figures.values():
        assert (folder / figure["file"]).is_file()
        assert len(figure["caption"]) > 20
        assert len(figure["alt"]) > 20


def test_the_report_of_the_run_has_its_numbers(smoke):
    *_, folder = smoke
    reader = PdfReader(folder / "report.pdf")
    text = "\n".join(page.extract_text() for page in reader.pages)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 12 <= len(reader.pages) <= 30
    assert f"{100 * metrics['test_accuracy']:.2f}" in text
    assert "CIFAR-10" in reader.pages[0].extract_text()
    assert (folder / "report.pdf").stat().st_size < 5e6


def test_a_finished_run_is_not_run_again(smoke):
    *_, folder = smoke
    before = (folder / "checkpoints" / "last.pt").stat().st_mtime_ns
    done = lab(*SMOKE, runs=folder.parent)
    assert done.returncode == 0
    assert "Every step is done" in done.stdout
    assert (folder / "checkpoints" / "last.pt").stat().st_mtime_ns == before


def test_lab_list_and_lab_report_know_the_run(smoke):
    *_, folder = smoke
    (folder / "report.pdf").unlink()
    assert lab("report", "smoke", runs=folder.parent).returncode == 0
    assert (folder / "report.pdf").is_file()
    listing = lab("list", runs=folder.parent).stdout
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"{metrics['test_accuracy']:.2%}" in listing


@pytest.mark.skipif(os.name != "posix", reason="POSIX signal")
def test_ctrl_c_ends_with_130_and_one_sentence(tmp_path):
    environment = os.environ | {"LAB_RUNS_DIR": str(tmp_path), "LAB_SET": ""}
    # Who starts pytest in the background has it ignore Ctrl-C, and children inherit that.
    code = (
        "import signal, sys; from lab.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", "smoke", *SMALL[:-1], "epochs=200"],
        env=environment, cwd=project_root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if "epoch " in line:
            break
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors.strip().startswith("lab: stopped")
    assert len(errors.strip().splitlines()) == 1
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "quack"], "No experiment 'quack'"),
        (["run", "--set", "epoch=1"], "did you mean 'epochs'"),
        (["run", "--set", "epochs=none_at_all"], "epochs='none_at_all'"),
        (["run", "--from", "07"], "No step '07'"),
        (["run", "--name", "../x"], "cannot name a run"),
        (["report", "nothing"], "No run named 'nothing'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(runs, capsys, words, sentence):
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1


def test_a_step_that_stops_is_reported_with_the_notebooks_own_sentence(tmp_path):
    done = lab("run", "smoke", "--set", "train_size=99999", runs=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("lab: 99,999 images were asked for")
    assert "Traceback" not in done.stderr + done.stdout


def test_a_second_process_cannot_work_on_the_same_run(runs):
    run = Run.create(load_settings("smoke"))
    with FileLock(run.file(".lock")), pytest.raises(LabError, match="Another process"):
        execute(run, STEPS)


def test_a_run_that_a_notebook_trains_is_refused_before_anything_is_void(runs):
    run = Run.create(load_settings("smoke"))
    run.begin("04_training")
    before = run.manifest
    half = run.file("checkpoints/.last.1.tmp.pt")
    half.parent.mkdir()
    half.write_bytes(b"half")
    with one_training(run.path), pytest.raises(LabError, match=r"'smoke' is being trained"):
        execute(run, STEPS, start="01_setup")
    assert run.manifest == before
    assert half.is_file()


def test_from_a_later_step_keeps_a_training_that_was_stopped(runs, monkeypatch):
    run = Run.create(load_settings("smoke"))
    last = run.file("checkpoints/last.pt")
    last.parent.mkdir()
    last.write_bytes(b"three epochs")
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: None)
    execute(run, STEPS[3:], start="05_evaluation")
    assert last.is_file()
    execute(run, STEPS[3:], start="04_training")
    assert not last.exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("Kernel died before replying to kernel_info"), "kernel of 01_setup died"),
        (NotJSONError("<<<<<<<"), "no valid notebook"),
    ],
)
def test_what_papermill_cannot_survive_is_one_sentence(runs, monkeypatch, error, sentence):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("papermill.execute_notebook", fail)
    with pytest.raises(LabError, match=sentence):
        execute(Run.create(load_settings("smoke")), STEPS[:1])


def test_no_kernel_starts_beside_a_step_that_times_or_trains(runs, monkeypatch):
    class Kernel:
        async def shutdown_kernel(self, now):
            pass

    kernels, ahead = [], {}  # by step, how many there are beside its own for later ones

    def executed(run, step, kernel):
        ahead[step] = len(kernels) - len(ahead) - 1

    monkeypatch.setattr("lab.kernels.start", lambda _: kernels.append(Kernel()) or kernels[-1])
    monkeypatch.setattr(runner, "_execute_one", executed)
    runner._execute_all(Run.create(load_settings("smoke")), [*STEPS, *OPTIONAL])
    # What 03 has beside it, the kernel of 04, has been there since 02.
    assert {s: n for s, n in ahead.items() if n} == {
        "02_data": 2,
        "03_model": 1,
        "05_evaluation": 1,
    }


def test_a_full_disk_names_the_copy_and_leaves_no_half_of_it(runs, monkeypatch):
    run = Run.create(load_settings("smoke"))
    copy = run.file("notebooks/01_setup.ipynb")

    def fill(*_, **__):
        copy.write_text('{"cells": [')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papermill.execute_notebook", fill)
    with pytest.raises(LabError, match=r"01_setup\.ipynb: No space left on device; make room"):
        execute(run, STEPS[:1])
    assert not copy.exists()


def test_tidying_leaves_alone_what_the_lab_did_not_make(runs, tmp_path):
    run, outside = Run.create(load_settings("smoke")), tmp_path / "outside.ipynb"
    mine, cut, other, linked = (
        run.file(f"notebooks/{name}.ipynb") for name in ("mine", "01_setup", "02_data", "03_model")
    )
    mine.parent.mkdir()
    mine.write_text("{}")
    cut.write_text('{"cells": [')
    other.write_text('{"metadata": {"papermill": null}}')
    outside.write_text("no notebook")
    linked.symlink_to(outside)
    before = run.file("manifest.json").exists()
    execute(run, [])
    assert not cut.exists()
    assert mine.read_text() == "{}" and other.read_text() == '{"metadata": {"papermill": null}}'
    assert outside.read_text() == "no notebook"
    assert run.file("manifest.json").exists() == before


def test_nobody_reading_on_is_no_error(runs):
    """As in `lab list | head -1`, whose head has gone."""
    command = [sys.executable, "-m", "lab", "list"]
    with subprocess.Popen(
        command, cwd=project_root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "Stopped"])
def test_an_interrupt_that_the_notebook_sees_first_is_one_too(runs, monkeypatch, name):
    """Ctrl-C reaches the kernel as well, where `fit` makes a Stopped of it."""

    def interrupted(*_, **__):
        raise PapermillExecutionError(3, 3, "history = fit(...)", name, "Stopped in epoch 1", [])

    monkeypatch.setattr("papermill.execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(Run.create(load_settings("smoke")), STEPS[3:4])


def test_papermill_runs_a_notebook_directly(tmp_path):
    environment = os.environ | {"LAB_RUNS_DIR": str(tmp_path), "LAB_SET": "train_size=2000"}
    command = [
        sys.executable, "-m", "papermill", "notebooks/01_setup.ipynb", str(tmp_path / "o.ipynb"),
        "-p", "experiment", "smoke", "-p", "changes", "epochs=2", "--no-progress-bar",
    ]  # fmt: skip
    subprocess.run(command, env=environment, cwd=project_root(), check=True, capture_output=True)
    (folder,) = tmp_path.glob("smoke-*")
    assert json.loads((folder / "manifest.json").read_text())["01_setup"]["status"] == "done"
    settings = Run.open(folder).settings
    assert (settings.experiment, settings.epochs, settings.train_size) == ("smoke", 2, 2000)


@needs_cifar10
def test_two_epochs_on_the_real_cifar10_reach_60_percent(runs):
    run = begin("04_training", "quick", data="cifar10", epochs=2)
    dataset, machine = load(run), choose(run.settings)
    training = Training(run.settings, dataset, machine)
    fit(training, run.path)
    run.finish()
    run.begin("05_evaluation")
    test = load_test(run, dataset, "a test")
    test = Batches(test, EVAL_BATCH, dataset.normalization, machine.device)
    assert accuracy(*predict(training.model, test, machine)) > 0.60
