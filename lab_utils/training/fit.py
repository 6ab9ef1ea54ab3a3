"""A whole training, with a checkpoint after every epoch.

A training that was stopped at any moment goes on from its last whole epoch and ends with the same
weights, bit for bit, as one that was not, if both had the same number of threads throughout.
"""

import math
from pathlib import Path
import re
import time
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Split
from lab_utils.model.build import model_options
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.hardware import synchronize
from lab_utils.training.checkpoints import Best, load_checkpoint, save_best
from lab_utils.training.history import Epoch, best_of, write_history
from lab_utils.training.loop import Loop, Training, train_epoch
from lab_utils.training.pace import Pace
from lab_utils.training.progress import Quiet as Quiet, TrainingProgress

EVAL_BATCH = 500  # images; evaluation keeps no activations, so more fit than in training
# As CUDA and MPS, cuBLAS, and the CPU allocator of Linux and of Windows say it.
OUT_OF_MEMORY = re.compile(
    "out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", re.IGNORECASE
)


def fit(
    training: Training, folder: Path, train_epoch: Loop = train_epoch, progress: Any = None
) -> list[Epoch]:
    """Train to the end with the loop ``train_epoch``; the history, also in ``training.history``.

    After each epoch ``checkpoints/last.pt`` in ``folder`` has all it takes to go on; one that is
    there is gone on from. ``checkpoints/best.pt`` has the weights of the highest validation
    accuracy and what inference needs, ``history.csv`` a row for each epoch. At the end
    ``training.model`` holds the last weights, or their average where the settings ask for one.
    ``progress`` is told of each step and epoch as ``TrainingProgress`` is, which is the default.
    How many threads compute is looked at again where the steps get slow, see ``Pace``.

    Raises LabError where memory runs out, the loss is no longer a number, or ``last.pt`` is damaged
    or of another training.
    """
    settings = training.settings
    if training.machine.device.type == "cuda":
        torch.backends.cudnn.deterministic = True
    best, last = (folder / "checkpoints" / name for name in ("best.pt", "last.pt"))
    torch.manual_seed(settings.seed)  # dropout and MixUp draw from PyTorch's own generator
    if last.is_file():
        _go_on(training, last)
    progress = progress or TrainingProgress(training)
    pace = Pace(training, progress.notice)
    try:
        pace.begin()
        while not training.finished:
            row = _epoch(training, train_epoch, pace, progress)
            training.history.append(row)
            if best_of(training.history) is row:
                save_best(best, training.judged, _about(training, row))
            write_history(folder / "history.csv", training.history)  # first: else a row may be lost
            state = training.state_dict()
            write_atomic(last, lambda path, state=state: torch.save(state, path))
            progress.epoch(training.history)
    except (MemoryError, RuntimeError) as error:  # CUDA's own kind is a RuntimeError
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        raise LabError(
            f"Out of memory at batch_size={settings.batch_size}; "
            f"try batch_size={max(1, settings.batch_size // 2)}."
        ) from error
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


def evaluate(training: Training, split: Split) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of ``split``: evaluation mode, no augmentation."""
    device = training.machine.device
    batches = Batches(split, EVAL_BATCH, training.dataset.normalization, device)
    logits, targets = predict(training.judged, batches, training.machine)
    return cross_entropy(logits, targets).item(), accuracy(logits, targets)


def _epoch(training: Training, train_epoch: Loop, pace: Pace, progress: Any) -> Epoch:
    """Train and validate once; LabError where a loss is no longer a number."""

    def on_step(step: int, loss: Tensor) -> None:
        pace.step(step)
        progress.step(step, loss)

    lr, start = training.optimizer.param_groups[0]["lr"], time.perf_counter()
    train_loss, train_accuracy = training.epoch(train_epoch, on_step)
    synchronize(training.machine.device)
    seconds = time.perf_counter() - start
    val_loss, val_accuracy = evaluate(training, training.dataset.val)
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
