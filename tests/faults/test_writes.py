"""Killed at each write, or with a disk that is full or read-only: nothing is lost."""

from itertools import count
import os
from pathlib import Path
import random
import shutil
import subprocess
import sys
import time

import pytest
import torch

from lab_utils.core.params import project_root
from lab_utils.core.run import Run
from lab_utils.training.checkpoints import load_best, load_checkpoint
from lab_utils.training.history import read_history

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills with SIGKILL"),
]


@pytest.fixture(scope="module")
def trains():
    """``trains(folder, way, number)``: the exit code of `trains.py` for that line."""
    root = project_root()
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "LAB_SET": "", "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, root / "tests/faults/trains.py"], env=environment, text=True, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip

        def once(folder: Path, way: str = "none", number: int = 0) -> int:
            process.stdin.write(f"{folder} {way} {number}\n")
            return int(process.stdout.readline())

        once.process = process
        yield once
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(trains, tmp_path_factory):
    """The weights of a training that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    assert trains(folder) == 0
    return weights(folder)


def weights(folder):
    return load_checkpoint(folder / "run/checkpoints/best.pt")["model"]


def assert_whole_files(folder):
    """Whatever file is there is whole, old or new."""
    run = folder / "run"
    if (run / "settings.yaml").is_file():
        assert isinstance(Run.open(run).manifest, dict)
    for name, read in {
        "checkpoints/last.pt": load_checkpoint, "checkpoints/best.pt": load_best,
        "history.csv": read_history,
    }.items():  # fmt: skip
        if (run / name).is_file():
            read(run / name)


def ends_with_the_same_weights(trains, folder, whole):
    assert_whole_files(folder)
    assert trains(folder) == 0
    after = weights(folder)
    same = all(torch.equal(after[key], whole[key]) for key in whole)
    Run.open(folder / "run").check("04_training")
    shutil.rmtree(folder)
    return same


@pytest.mark.parametrize(
    ("way", "code"), [("before", -9), ("after", -9), ("full", 3), ("read-only", 3)]
)
def test_a_write_that_goes_wrong_costs_nothing(full, survived, trains, whole, tmp_path, way, code):
    tried = 0
    for number in count() if full else (5,):  # until there is no such write
        folder = tmp_path / str(number)
        found = trains(folder, way, number)
        if found == 0:
            break
        assert found == code, number
        assert ends_with_the_same_weights(trains, folder, whole), number
        tried += 1
    assert tried >= (10 if full else 1)  # the settings, the manifest, each epoch's files, ...
    meant = "the same weights" if code == -9 else "a sentence with the path, then the same weights"
    survived(f"a training whose write goes wrong: {way}", tried, meant)


def test_a_kill_at_any_moment_costs_nothing(full, survived, trains, whole, tmp_path):
    import psutil

    rng, tries, killed = random.Random(0), 10 if full else 1, 0
    for number in range(tries):
        folder = tmp_path / str(number)
        trains.process.stdin.write(f"{folder} none 0\n")
        time.sleep(rng.uniform(0.0, 0.4))
        for child in psutil.Process(trains.process.pid).children():
            child.kill()
        killed += int(trains.process.stdout.readline()) == -9
        assert ends_with_the_same_weights(trains, folder, whole), number
    assert killed or not full
    survived("a training killed at a random moment", killed, "the same weights")


def test_two_processes_on_one_run_are_told_apart(survived, tmp_path):
    """One trains; the other is refused in one sentence, and harms nothing."""
    from toy import toy_dataset, train

    from lab_utils import LabError
    from lab_utils.core.files import one_training
    from lab_utils.core.params import load_settings

    with one_training(tmp_path), pytest.raises(LabError, match="is being trained by another"):
        train(tmp_path, toy_dataset(), load_settings("smoke", epochs=1))
    survived("a second process that trains in a run", 1, "LabError")
