"""Too little memory: one sentence, in whatever command or step it runs out."""

import os
import re
import subprocess
import sys
import time

from fabricate import make_run
import psutil
import pytest

from lab_utils.core.params import project_root

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as on Linux"),
]
TINY = ["--set", "data=shapes", "train_size=300", "test_size=100", "epochs=1", "threads=1"]
RUN = ["run", "smoke", "--name", "tiny", *TINY]


def lab(*words, runs, megabytes):
    """The command with so much memory, addresses counted."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20,) * 2)"
    code = f"{limit}\nimport sys; from lab.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=project_root(), capture_output=True, text=True,
        env=os.environ | {"LAB_RUNS_DIR": str(runs), "LAB_SET": ""}, timeout=300,
    )  # fmt: skip


def is_one_sentence(done):
    """Whether a command ended as it should: done, or with one sentence about memory.

    A line of a C library that gives up (libzmq, torch) is not the lab's to hold back.
    """
    said = [line for line in done.stderr.splitlines() if line.startswith("lab: ")]
    if done.returncode == 0:
        return not done.stderr
    return (
        done.returncode == 2
        and len(said) == 1
        and "memory" in said[0]
        and "Traceback" not in done.stderr
        and len(done.stderr.splitlines()) <= 2
    )


def test_a_command_without_memory_for_pytorch_is_one_sentence(full, survived, tmp_path):
    make_run(tmp_path / "quick")
    commands = [("verify", "quick"), ("serve", "quick", "--port", "0"), RUN]
    tried = 0
    for megabytes in (300, 700, 1500) if full else (300,):
        for words in commands if full else commands[:1]:
            done = lab(*words, runs=tmp_path, megabytes=megabytes)
            assert is_one_sentence(done), (words, megabytes, done.returncode, done.stderr)
            assert done.returncode == 2 or megabytes > 300, words  # no PyTorch fits in these
            tried += 1
    survived("commands with too little memory to load PyTorch", tried, "one sentence")


def test_a_run_that_runs_out_of_memory_names_the_step_in_one_sentence(full, survived, tmp_path):
    """Which step that is hangs on the machine; with more memory the same command goes on."""
    if not full:
        pytest.skip("whole runs")
    limits = (4000, 5000)
    stopped = set()
    for megabytes in limits:
        done = lab(*RUN, runs=tmp_path, megabytes=megabytes)
        assert is_one_sentence(done), (megabytes, done.stderr)
        if done.returncode:
            stopped.add(re.search(r"0\d_\w+", done.stderr)[0])  # the step that it names
    assert stopped
    survived("whole runs with little memory", len(limits), f"one sentence, in {sorted(stopped)}")


def test_a_kernel_that_the_system_kills_is_one_sentence(full, survived, tmp_path):
    """As the kernel of Linux does where memory is short, in the whole machine or in a cgroup."""
    if not full:
        pytest.skip("a whole run")
    environment = os.environ | {"LAB_RUNS_DIR": str(tmp_path), "LAB_SET": ""}
    command = [sys.executable, "-m", "lab", *RUN]
    with subprocess.Popen(
        command, env=environment, cwd=project_root(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        for line in process.stdout:
            if "01_setup" in line:
                break
        while not (kernels := psutil.Process(process.pid).children(recursive=True)[1:]):
            time.sleep(0.1)  # the first is the process that they are forked from
        kernels[0].kill()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith("lab: The kernel of 01_setup died, most likely out of memory")
    assert errors.count("\n") == 1
    done = subprocess.run(command, env=environment, cwd=project_root(), capture_output=True)
    assert done.returncode == 0  # and the same command goes on
    survived("kernels that were killed", 1, "one sentence, and the same command goes on")
