"""What the faults share: how many are tried, what is said at the end, a `lab run` in a second."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from lab_utils.core.params import project_root


@pytest.fixture
def full(request) -> bool:
    """Whether `pytest -m faults` asks for all of them; the ordinary suite tries a few of each."""
    return "faults" in request.config.getoption("markexpr")


@pytest.fixture
def survived(record_property):
    """Call it with a fault, how often it was tried, and what surviving it means."""

    def note(fault: str, tried: int, means: str) -> None:
        record_property("fault", (fault, tried, means))

    return note


@pytest.fixture(scope="session")
def lab():
    """``lab(folder, way, number)``: the exit code of `harmed.py` for that line."""
    root = project_root()
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "LAB_SET": "", "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, root / "tests/faults/harmed.py"], env=environment, text=True, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip

        def once(folder: Path, way: str = "none", number: int = 0) -> int:
            process.stdin.write(f"{folder} {way} {number}\n")
            return int(process.stdout.readline())

        once.process = process
        yield once
        process.stdin.close()
