"""A whole training, with a checkpoint after every epoch.

A training that was stopped at any moment goes on from its last whole epoch and ends with the same
weights, bit for bit, as one that was not, if both had the same number of threads throughout.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import math
from pathlib import Path
import time
from typing import Any

import torch
from torch import Tensor

from lab_utils import OUT_OF_MEMORY, LabError
from lab_utils.core.files import one_training, write_atomic
from lab_utils.model.build import model_options
from lab_utils.setup.hardware import synchronize
from lab_utils.training.checkpoints import Best, load_checkpoint, save_best
from lab_utils.training.history import Epoch, best_of, write_history
from lab_utils.training.loop import (
    EVAL_BATCH as EVAL_BATCH,
    Loop,
    Training,
    Validate,
    train_epoch,
    validate,
)
from lab_utils.training.pace import Pace
from lab_utils.training.progress import Quiet as Quiet, TrainingProgress


class Stopped(KeyboardInterrupt):
    """The stop button, or Ctrl-C, during a training; in a notebook one line, and no cell after it.

    An exception, so that nothing can take the training for one that is done.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # IPython's hook


def fit(
    training: Training,
    folder: Path,
    train_epoch: Loop = train_epoch,
    validate: Validate = validate,
    progress: Any = None,
) -> list[Epoch]:
    """Train to the end with the loop ``train_epoch``; the history, also in ``training.history``.

    After each epoch ``validate`` judges the validation images, and ``checkpoints/last.pt`` in
    ``folder`` has all it takes to go on; one that is there is gone on from. ``checkpoints/best.pt``
    has the weights of the highest validation accuracy and what inference needs, ``history.csv`` a
    row for each epoch. At the end ``training.model`` holds the last weights, or their average where
    the settings ask for one. ``progress`` is told of each step and epoch as ``TrainingProgress``
    is, which is the default. How many threads compute is looked at again where the steps get slow,
    see ``Pace``.

    Raises Stopped on an interrupt, and LabError where another process trains in ``folder``, memory
    runs out, the loss is no longer a number, or ``last.pt`` is damaged or of another training.
    """
    if training.machine.device.type == "cuda":
        torch.backends.cudnn.deterministic = True
    with one_training(folder), _in_a_sentence(training):
        torch.manual_seed(training.settings.seed)  # dropout and MixUp draw from this generator
        if (last := folder / "checkpoints/last.pt").is_file():
            _go_on(training, last)
        progress = progress or TrainingProgress(training)
        pace = Pace(training, progress.notice)
        if training.finished:
            done = len(training.history)
            progress.notice(
                f"Finished before: {done} epoch{'s' * (done > 1)}. They are used as they are; to "
                "train anew, set fresh = True."
            )
        else:
            pace.begin()
        while not training.finished:
            row = _epoch(training, (train_epoch, validate), pace, progress)
            training.history.append(row)
            if best_of(training.history) is row:
                save_best(folder / "checkpoints/best.pt", training.judged, _about(training, row))
            write_history(folder / "history.csv", training.history)  # first: else a row may be lost
            state = training.state_dict()
            write_atomic(last, lambda path, state=state: torch.save(state, path))
            progress.epoch(training.history)
        if training.average:
            training.model.load_state_dict(training.average.module.state_dict())
    return training.history


def _go_on(training: Training, last: Path) -> None:
    try:
        training.load_state_dict(load_checkpoint(last))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise LabError(
            f"{last} is damaged or of another training ({type(error).__name__}: {error}); delete "
            "it and run 04_training again."
        ) from error
    if not training.finished:
        training.resumed_from = len(training.history)


@contextmanager
def _in_a_sentence(training: Training) -> Iterator[None]:
    """Say in one sentence what a person does about an interrupt, or about too little memory."""
    try:
        yield
    except KeyboardInterrupt:
        done, epochs = len(training.history), training.settings.epochs
        kept = f"epochs 1 to {done} are kept" if done > 1 else "epoch 1 is kept" if done else ""
        raise Stopped(
            f"Stopped in epoch {min(done + 1, epochs)} of {epochs}{'; ' if kept else ''}{kept}. "
            f"Run this cell again to {'go on' if done else 'begin again'}."
        ) from None
    except (MemoryError, RuntimeError) as error:  # CUDA's own kind is a RuntimeError
        if not OUT_OF_MEMORY.search(repr(error)):
            raise
        size = training.settings.batch_size
        words = f"Out of memory at batch_size={size}; try batch_size={max(1, size // 2)}."
        raise LabError(words) from error


def _epoch(training: Training, loops: tuple[Loop, Validate], pace: Pace, progress: Any) -> Epoch:
    """Train and validate once; LabError where a loss is no longer a number."""

    def on_step(step: int, loss: Tensor) -> None:
        pace.step(step)
        progress.step(step, loss)

    train_epoch, validate = loops
    lr, start = training.optimizer.param_groups[0]["lr"], time.perf_counter()
    train_loss, train_accuracy = training.epoch(train_epoch, on_step)
    synchronize(training.machine.device)
    seconds = time.perf_counter() - start
    val_loss, val_accuracy = training.validate(validate)
    number, rate = len(training.history) + 1, len(training.dataset.train) / seconds
    if not math.isfinite(train_loss + val_loss):
        raise LabError(
            f"The loss is not a number after epoch {number}; lower lr={training.settings.lr}."
        )
    if training.plateau:
        training.plateau.step(val_loss)
    return Epoch(
        epoch=number, train_loss=train_loss, train_accuracy=train_accuracy, val_loss=val_loss,
        val_accuracy=val_accuracy, lr=lr, seconds=seconds, images_per_second=rate,
        threads=torch.get_num_threads(),
    )  # fmt: skip


def _about(training: Training, row: Epoch) -> Best:
    settings, dataset = training.settings, training.dataset
    return Best(
        model_name=settings.model,
        model_options=model_options(settings),
        image_size=dataset.train.images.shape[-1],
        classes=dataset.classes,
        normalization=dataset.normalization,
        epoch=row.epoch,
        val_accuracy=row.val_accuracy,
    )
