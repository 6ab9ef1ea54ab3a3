"""Killed at each write, or with a disk that is full or read-only: nothing is lost."""

from contextlib import suppress
from itertools import count
import random
import shutil
import signal
import sys
import time

import nbformat
from PIL import Image
import psutil
import pytest
import torch

from lab.verify import verify
from lab_utils.core.files import read_json
from lab_utils.core.manifest import read_figures, read_manifest
from lab_utils.core.run import Run
from lab_utils.evaluation.predictions import load_predictions
from lab_utils.training.checkpoints import load_best, load_checkpoint
from lab_utils.training.history import read_history

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills with SIGKILL"),
]
LAST, COPY = 62, "notebooks/01_setup.ipynb"  # the PDF is the last write of a run
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SAME, LINE = "same weights and metrics, verified", "a sentence with the path, "


@pytest.fixture(scope="module")
def whole(lab, tmp_path_factory):
    """The weights and metrics of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    assert lab(folder) == 0
    return weights(folder), metrics(folder)


def weights(folder):
    return load_checkpoint(folder / "run/checkpoints/best.pt")["model"]


def metrics(folder):
    return read_json(folder / "run/metrics.json")


def assert_whole_files(folder):
    """Whatever file is there is whole, old or new."""
    run = folder / "run"
    for name, read in {
        "settings.yaml": lambda _: Run.open(run), "manifest.json": lambda _: read_manifest(run),
        "checkpoints/last.pt": load_checkpoint, "checkpoints/best.pt": load_best,
        "history.csv": read_history, "predictions.npz": load_predictions,
        "figures.json": lambda _: read_figures(run), "metrics.json": read_json,
    }.items():  # fmt: skip
        if (run / name).is_file():
            read(run / name)
    for image in run.glob("figures/[!.]*.png"):
        Image.open(image).verify()
    for pdf in run.glob("report.pdf"):
        assert pdf.read_bytes().startswith(b"%PDF")


def assert_goes_on(lab, folder, whole):
    """The same command ends as if nothing had been, and leaves nothing of what was."""
    assert_whole_files(folder)
    assert lab(folder) == 0
    after, (before, counted) = weights(folder), whole
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert metrics(folder) == counted
    run = Run.open(folder / "run")
    assert all(finding.good for finding in verify(run))
    assert run.file("report.pdf").is_file()
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("way", "code"), [("before", -9), ("after", -9), ("full", 2), ("read-only", 2)]
)
def test_a_write_that_goes_wrong_costs_nothing(full, survived, lab, whole, tmp_path, way, code):
    tried = 0
    for number in count() if full else (30,):  # until there is no such write
        folder = tmp_path / str(number)
        found = lab(folder, way, number)
        if found == 0:
            break
        assert found == code, number
        assert_goes_on(lab, folder, whole)
        tried += 1
    assert tried >= (50 if full else 1)  # of all six steps, their notebooks' copies and the PDF
    survived(f"a run whose write goes wrong: {way}", tried, SAME if code < 0 else f"{LINE}{SAME}")


@pytest.mark.parametrize(("way", "number"), [("after", 7), ("full", 8), ("before", LAST)])
def test_what_a_stopped_run_left_is_tidied_by_the_next(lab, tmp_path, way, number):
    """The copy of a notebook that was just done, and half of a report."""
    assert lab(tmp_path, way, number) in (-9, 2)
    run = tmp_path / "run"
    halves = list(run.glob(".report.*"))
    assert halves if number == LAST else str(tmp_path) in (run / COPY).read_text()
    assert lab(tmp_path) == 0
    assert not list(run.rglob(".*.tmp.*"))
    for copy in run.glob("notebooks/*"):
        assert str(tmp_path) not in copy.read_text()
        nbformat.read(copy, as_version=4)


def test_a_signal_at_any_moment_costs_nothing(full, survived, lab, whole, tmp_path):
    rng, ended, began = random.Random(0), [], time.monotonic()
    assert lab(tmp_path / "timed") == 0
    lasts = time.monotonic() - began
    for number in range(24 if full else 2):
        folder, sig = tmp_path / str(number), SIGNALS[number % len(SIGNALS)]
        lab.process.stdin.write(f"{folder} none 0\n")
        time.sleep(lasts * rng.uniform(0.1, 0.8))
        for child in psutil.Process(lab.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                child.send_signal(sig)
        ended += [int(lab.process.stdout.readline())]
        assert ended[-1] in (0, 130, -sig), number  # 130 with the sentence
        assert_goes_on(lab, folder, whole)
    stopped = len(ended) - ended.count(0)
    assert stopped >= len(ended) / 2 or not full
    survived("a run stopped by SIGKILL, TERM, HUP, INT at a random moment", stopped, SAME)


def test_two_processes_on_one_run_are_told_apart(survived, tmp_path):
    """One trains; the other is refused in one sentence, and harms nothing."""
    from toy import toy_dataset, train

    from lab_utils import LabError
    from lab_utils.core.files import one_training
    from lab_utils.core.params import load_settings

    with one_training(tmp_path), pytest.raises(LabError, match="is being trained by another"):
        train(tmp_path, toy_dataset(), load_settings("smoke", epochs=1))
    survived("a second process that trains in a run", 1, "LabError")
