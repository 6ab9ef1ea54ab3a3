"""What the lab promises of its whole line, measured: wall time, memory, accuracy, report.

The baseline column is the promise; a ratio above 1 keeps it. Accuracies are in percent.
"""

import argparse
import os
from pathlib import Path
import subprocess
import sys
import tempfile

from benchmarks.common import Row, run, say, timed
from lab_utils.core.files import read_json
from lab_utils.core.params import project_root

COURSE = 79.84  # the case study's figure, of 20 epochs; to be reproduced within 1.5 points


def lab(folder: str, *words: str) -> float:
    """Seconds of one ``lab`` command whose run folders go to ``folder``."""
    environment = os.environ | {"LAB_RUNS_DIR": folder, "LAB_SET": ""}
    command = [sys.executable, "-m", "lab", *words]
    options = {"cwd": project_root(), "env": environment, "check": True, "stdout": sys.stderr}
    return timed(lambda: subprocess.run(command, **options))


def measure(arguments: argparse.Namespace) -> list[Row]:
    """`lab run smoke`, `quick` and, with --case-study 1, `case_study`; each once, and the PDF."""
    rows = []

    def row(what: str, measured: float, promise: float, larger_is_better: bool = False) -> None:
        ratio = measured / promise if larger_is_better else promise / measured
        rows.append(Row(what, measured, promise, ratio, 1))

    with tempfile.TemporaryDirectory() as folder:

        def metrics(name: str) -> dict[str, float]:
            return read_json(Path(folder) / name / "metrics.json")

        row("smoke: wall seconds", lab(folder, "run", "smoke"), 75)
        row("quick: wall seconds", lab(folder, "run", "quick", "--set", "data=cifar10"), 240)
        name = next(p.name for p in Path(folder).glob("quick*"))
        row("quick: test accuracy, %", 100 * metrics(name)["test_accuracy"], 72, True)
        manifest = read_json(Path(folder) / name / "manifest.json")
        memory = max(step["peak_memory_mb"] for step in manifest.values())
        row("quick: peak memory of a notebook, MB", memory, 3000)
        start = lab(folder, "list")  # what the command itself takes to start
        row("quick: seconds to compile the PDF", lab(folder, "report", name) - start, 5)
        if arguments.case_study:
            lab(folder, "run", "case_study", "--set", "data=cifar10", "--name", "case")
            reached = 100 * metrics("case")["test_accuracy"]
            say(f"case study: {reached:.2f}%, the source has {COURSE}%")
            row("case_study: points from 79.84%", max(abs(reached - COURSE), 0.01), 1.5)
    return rows


if __name__ == "__main__":
    run("promises", measure, case_study=(0, "1: run the 20 epochs of the case study too"))
