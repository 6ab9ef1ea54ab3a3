"""The history of a training, a row per epoch; without torch, so that the report loads quickly."""

import csv
import io
from pathlib import Path

from lab_utils import LabError
from lab_utils.files import write_atomic

Row = dict[str, float]  # one epoch


def write_history(path: Path, history: list[Row]) -> None:
    """Write the history as CSV, a row per epoch, atomically."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomic(path, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))


def read_history(path: Path) -> list[Row]:
    """The rows of ``history.csv`` as numbers; LabError where it is missing."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise LabError(f"{path} is missing: run 04_training first.") from None
