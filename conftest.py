"""Test settings: what is written goes to pytest's own folders, and the network is not needed.

Only the drawn shapes are kept in ``data/``, as always.
"""

import os
from pathlib import Path
import tempfile
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Point the notebooks that nbval runs at a fresh run folder and a training of seconds.

    nbval's kernels inherit the environment; papermill's parameters do not reach them.
    """
    folder = tempfile.TemporaryDirectory(prefix="lab-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["LAB_RUNS_DIR"] = folder.name
    os.environ["LAB_SET"] = "data=shapes train_size=2000 test_size=500 epochs=2"
    # Tests that use the real CIFAR-10 are skipped where this names no folder that has it.
    os.environ.setdefault("LAB_DATA_DIR", "")


class _ByFile(LoadFileScheduling):
    """A worker of pytest-xdist has a file whole, and one has all notebooks.

    A file's tests share fixtures; a notebook goes on with the run that the one before it left.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "notebooks" if ".ipynb::" in nodeid else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """Whatever ``--dist`` says."""
    return _ByFile(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """After `pytest -m faults`: what was tried, which tests note as their property ``fault``."""
    if terminalreporter.config.option.markexpr:
        for report in terminalreporter.stats.get("passed", []):
            for fault, tried, means in (v for name, v in report.user_properties if name == "fault"):
                line = f"{fault:60} tried and survived {tried:5}: {means}"
                terminalreporter.write_line(line)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for run folders, with no settings from outside."""
    monkeypatch.setenv("LAB_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("LAB_SET", raising=False)
    return tmp_path / "runs"
