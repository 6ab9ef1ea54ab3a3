"""The history of a training, an ``Epoch`` each; without torch, so that the report loads quickly."""

from collections.abc import Iterable, Sequence
import csv
import io
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from lab_utils import LabError
from lab_utils.core.files import write_text

LARGEST_GAP = 0.10  # of training over validation accuracy; the lab's reading of "reasonable"


class Epoch(NamedTuple):
    """What one epoch of training brought. Accuracies are fractions of 1, losses nats an image."""

    epoch: int  # counted from 1
    train_loss: float  # plain cross-entropy of the images as they were seen
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float  # of the first step
    seconds: float  # of training, without the validation
    images_per_second: float
    threads: int = 0  # at its end; 0 where it was not recorded


class ThreadChoice(NamedTuple):
    """From when on a training used how many threads, and why."""

    epoch: int  # counted from 1
    step: int  # in the epoch, counted from 0
    threads: int
    reason: str
    others: float = 0.0  # cores that other programs kept busy

    def __str__(self) -> str:
        later = self.epoch + self.step > 1
        when = f" from epoch {self.epoch}, step {self.step} on" if later else ""
        return f"threads: {self.threads}{when}, because {self.reason}"


def numbered(rows: Iterable[Sequence[float]]) -> list[Epoch]:
    """Epochs 1, 2, ... of what ``train_epoch`` and ``validate`` returned: four numbers a row."""
    return [Epoch(number, *row, 0.0, 0.0, 0.0) for number, row in enumerate(rows, 1)]


def best_of(history: list[Epoch]) -> Epoch:
    """The first epoch with the highest validation accuracy: the one in ``best.pt``."""
    return max(history, key=lambda row: row.val_accuracy)


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write the history as CSV, a row per epoch, atomically."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([Epoch._fields, *history])
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[Epoch]:
    """The rows of ``history.csv``; LabError where it is missing or not such a file."""
    if not path.is_file():
        raise LabError(f"{path} is missing: run 04_training first.")
    try:
        with path.open(encoding="ascii", newline="") as file:
            names, *rows = csv.reader(file)
        if tuple(names) not in (Epoch._fields, Epoch._fields[:-1]):
            raise ValueError("its columns are others")
        named = (zip(names, row, strict=True) for row in rows)
        history = [Epoch(**{name: _number(name, text) for name, text in row}) for row in named]
        if not history or [row.epoch for row in history] != list(range(1, len(history) + 1)):
            raise ValueError("its rows are not epochs 1, 2, ...")
        # A mean of float32 may round up.
        if any(min(row) < 0 or max(row[2], row[4]) > 1 + 1e-6 for row in history):
            raise ValueError("a number is out of bounds")
        return history
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise LabError(f"{path} is damaged ({error}); run 04_training again.") from None


def _number(name: str, text: str) -> int | float:
    number = int(text) if name in ("epoch", "threads") else float(text)
    if {*text} & {*"_ "} or not isfinite(number):  # Python alone reads 1_000
        raise ValueError(f"a number is {text[:20]!r}")
    return number
