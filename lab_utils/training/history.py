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
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("it has no rows")
        return [Epoch(**{name: _number(name, text) for name, text in row.items()}) for row in rows]
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise LabError(f"{path} is damaged ({error}); run 04_training again.") from None


def _number(name: str, text: str) -> int | float:
    if not isfinite(number := float(text)):
        raise ValueError(f"a number is {number}")
    return int(number) if name in ("epoch", "threads") else number
