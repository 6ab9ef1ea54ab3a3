"""What six notebooks and the PDF cost beyond the training itself.

Ours is `lab run` in a folder of its own; the baseline executes the same six notebooks with the
`papermill` command, one after the other, and compiles the same PDF.
"""

import argparse
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
import tempfile

from benchmarks.common import Row, run, say, timed
from lab_utils.core.files import read_json
from lab_utils.core.params import project_root
from lab_utils.core.run import STEPS


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Seconds beyond training of one experiment; lower is better, ratio = baseline / ours."""
    root = project_root()

    def beyond_training(commands: list[list[str]], folder: str) -> float:
        environment = os.environ | {"LAB_RUNS_DIR": folder, "LAB_SET": ""}
        options = {"cwd": root, "env": environment, "check": True, "capture_output": True}
        wall = timed(lambda: [subprocess.run(command, **options) for command in commands])
        run_folder = Path(folder) / "run"
        inside = {step: e["seconds"] for step, e in read_json(run_folder / "manifest.json").items()}
        say(", ".join(f"{step} {seconds:.1f} s" for step, seconds in inside.items()))
        return wall - read_json(run_folder / "training.json")["train_seconds"]

    lab = [sys.executable, "-m", "lab"]
    ours, theirs = [], []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            command = [*lab, "run", arguments.experiment, "--name", "run"]
            ours.append(beyond_training([command], folder))
        with tempfile.TemporaryDirectory() as folder:
            papermill = [
                [
                    *[sys.executable, "-m", "papermill", f"notebooks/{step}.ipynb"],
                    *[str(Path(folder) / f"{step}.ipynb"), "--cwd", "notebooks"],
                    *["-p", "experiment", arguments.experiment, "-p", "name", "run"],
                ]
                for step in STEPS
            ]
            theirs.append(beyond_training([*papermill, [*lab, "report", "run"]], folder))
        say(f"ours {ours[-1]:.1f} s, papermill commands {theirs[-1]:.1f} s")
    a, b = median(ours), median(theirs)
    what = f"{arguments.experiment}: seconds beyond training, notebooks and PDF"
    return [Row(what, a, b, b / a, arguments.runs)]


if __name__ == "__main__":
    run(
        "headless",
        measure,
        experiment=("quick", "a name from params.yaml"),
        runs=(3, "runs of each side"),
    )
