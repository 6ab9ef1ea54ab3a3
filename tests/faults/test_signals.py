"""Real commands, stopped by any signal at any moment: soon gone, one sentence, and they go on."""

from contextlib import suppress
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from serving import make_served
import torch

from lab.verify import verify
from lab_utils.core.params import project_root
from lab_utils.core.run import Run
from lab_utils.training.checkpoints import load_checkpoint

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals"),
    pytest.mark.skipif(
        "'faults' not in config.getoption('markexpr')", reason="takes minutes: pytest -m faults"
    ),
]
SETTINGS = ["--set", "data=shapes", "train_size=2000", "test_size=500", "threads=1", "epochs=2"]
KILL, TERM, HUP, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def started(place, *words):
    # Who starts pytest in the background has it ignore Ctrl-C, and children inherit that.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from lab.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=project_root(), start_new_session=True,
        env=os.environ | {"LAB_RUNS_DIR": str(place), "LAB_SET": ""},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def stop(process, sig):
    """Send ``sig`` as a terminal does, or as a service manager; the exit code."""
    try:
        tree = [one := psutil.Process(process.pid), *one.children(recursive=True)]
        (os.kill if sig == TERM else os.killpg)(process.pid, sig)
        _, errors = process.communicate(timeout=30)
        _, alive = psutil.wait_procs(tree, timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, KILL)
    assert not alive
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) <= 1, errors
    return process.returncode


def whole(run):
    assert all(finding.good for finding in verify(run))
    return load_checkpoint(run.file("checkpoints/best.pt"))["model"], run.read_json("metrics.json")


def agree(a, b):
    (weights, metrics), (others, counted) = whole(a), whole(b)
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    for name in ("test_accuracy", "test_loss", "val_accuracy", "best_epoch", "ece"):
        assert metrics[name] == counted[name], name


@pytest.fixture(scope="module")
def untouched(place):
    """A run that two processes began at once: one is refused in a sentence, the other ends well."""
    both = [started(place, "run", "smoke", "--name", "untouched", *SETTINGS) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], said
    (refused,) = (text for text, code in zip(said, codes, strict=True) if code)
    assert "Another process is working on run 'untouched'" in refused
    assert refused.count("\n") == 1
    return Run.open(place / "untouched")


def test_of_two_processes_on_one_run_one_is_refused(survived, untouched):
    whole(untouched)
    survived("two `lab run` of one name at once", 1, "one ends well, one is refused")


def test_a_run_stopped_by_signals_ends_as_one_that_was_not(survived, untouched, place):
    rng, stopped = random.Random(0), []
    for sig in (TERM, KILL, INT, HUP, KILL, INT):
        process = started(place, "run", "smoke", "--name", "stopped", *SETTINGS)
        time.sleep(rng.uniform(0.5, 9))
        if process.poll() is None:
            stopped += [stop(process, sig)]
            assert stopped[-1] in (130, -sig), (sig, stopped)
        else:
            assert process.wait() == 0, process.stderr.read()
            shutil.rmtree(place / "stopped")  # or no later signal would find anything to stop
    last = started(place, "run", "smoke", "--name", "stopped", *SETTINGS)
    assert (last.communicate()[1], last.returncode) == ("", 0)
    assert len(stopped) >= 3
    agree(untouched, Run.open(place / "stopped"))
    assert not list(place.glob("stopped/.kernel.*"))
    survived("`lab run` stopped by a signal", len(stopped), "at most a sentence, the same weights")


def test_a_sweep_stopped_by_signals_goes_on(survived, place):
    rng, words, stopped = random.Random(1), ("sweep", "smoke", *SETTINGS), 0
    for sig in (INT, TERM):
        process = started(place, *words)
        time.sleep(rng.uniform(2, 9))
        if process.poll() is None:
            assert stop(process, sig) in (130, -sig), sig
            stopped += 1
    last = started(place, *words)
    assert (last.communicate()[1], last.returncode) == ("", 0)
    assert stopped >= 1
    (folder,) = place.glob("smoke*")
    whole(Run.open(folder))
    survived("`lab sweep` stopped by a signal", stopped, "at most a sentence, then it goes on")


def test_a_service_stopped_by_a_signal_ends_at_once(survived, place):
    make_served(place / "served")
    rng = random.Random(2)
    for sig in (TERM, INT, HUP):
        process = started(place, "serve", "served", "--port", "0")
        time.sleep(rng.uniform(0.5, 6))
        assert stop(process, sig) in (0, 130, -sig), sig
    survived("`lab serve` stopped by a signal", 3, "it ends, with at most a sentence")
