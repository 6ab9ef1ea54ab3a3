"""The four criteria that the course's documents name, judged for a training."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab_utils.training.history import LARGEST_GAP, Epoch

LOWEST_VAL_ACCURACY, LOWEST_TRAIN_ACCURACY = 0.75, 0.80


@dataclass(frozen=True)
class Criterion:
    """What a training should reach, what was ``found``, and whether it ``passed``."""

    criterion: str
    found: str
    passed: bool | None  # None where one epoch alone leaves nothing to compare


def success_criteria(
    history: Sequence[Epoch], train_accuracy: float, val_accuracy: float
) -> list[Criterion]:
    """The criteria for a training; of the gap the documents say only that it be reasonable.

    ``train_accuracy`` and ``val_accuracy`` are of the same weights in evaluation mode: accuracy
    measured while training is pulled down by dropout and augmentation, and hides the gap.
    """
    first, last = history[0].train_loss, history[-1].train_loss
    gap, several = train_accuracy - val_accuracy, len(history) > 1
    high = f"Validation accuracy above {LOWEST_VAL_ACCURACY:.0%}"
    learned = f"Training accuracy above {LOWEST_TRAIN_ACCURACY:.0%}"
    close = f"Training accuracy at most {100 * LARGEST_GAP:.0f} points above validation"
    losses = f"{first:.3f} to {last:.3f}" if several else "one epoch only"
    falls = last < first if several else None
    return [
        Criterion(high, f"{val_accuracy:.2%}", val_accuracy > LOWEST_VAL_ACCURACY),
        Criterion(learned, f"{train_accuracy:.2%}", train_accuracy > LOWEST_TRAIN_ACCURACY),
        Criterion("Training loss falls from first to last epoch", losses, falls),
        Criterion(close, f"{100 * gap:+.1f} points", gap <= LARGEST_GAP),
    ]
