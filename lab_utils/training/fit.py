"""Notebook 04: the training loop, with a checkpoint after every epoch.

A training that was stopped at any moment continues from its last whole epoch and ends with the
same weights, bit for bit, as one that was not.
"""

from collections.abc import Callable
import math
from pathlib import Path
import re
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.settings import Settings
from lab_utils.data.augment import mixing
from lab_utils.data.batches import Batches, training_batches
from lab_utils.data.dataset import Dataset
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.hardware import Machine, synchronize
from lab_utils.training.checkpoints import load_checkpoint, rng_state, save_best, set_rng_state
from lab_utils.training.history import Row
from lab_utils.training.loop import step_network, train_epoch
from lab_utils.training.optim import make_optimizer, make_plateau, make_schedule

EVAL_BATCH = 500  # images; evaluation keeps no activations, so more fit than in training


# As CUDA and MPS, cuBLAS, and the CPU allocator of Linux and of Windows say it.
OUT_OF_MEMORY = re.compile(
    "out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", re.IGNORECASE
)


def out_of_patience(history: list[Row], patience: int | None) -> bool:
    """Whether ``patience`` epochs went by since the best validation accuracy; never for None."""
    if patience is None or not history:
        return False
    best = max(history, key=lambda row: row["val_accuracy"])  # the first of equals, as in best.pt
    return history[-1]["epoch"] - best["epoch"] >= patience


def fit(
    model: nn.Module,
    dataset: Dataset,
    settings: Settings,
    machine: Machine,
    checkpoints: Path,
    resume: bool = True,
    on_epoch: Callable[[list[Row]], None] | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> list[Row]:
    """Train ``model`` as ``settings`` say; return the history, a row per epoch.

    A row holds epoch, train_loss, train_accuracy, val_loss, val_accuracy, lr (of its first step),
    seconds and images_per_second (training alone). After each epoch ``checkpoints/last.pt`` has
    all it takes to continue; ``best.pt`` has the weights with the highest validation accuracy and
    what inference needs. With ``resume`` a ``last.pt`` that is there is continued. The training
    ends after ``epochs``, or ``patience`` epochs after the one in ``best.pt``. With ``ema_decay``
    an average of the weights is validated, saved in ``best.pt`` and left in ``model`` at the end:
    after every step it keeps that share of itself and takes the rest from the weights.

    Raises LabError where memory runs out or the loss is no longer a number.
    """
    if machine.device.type == "cuda":
        torch.backends.cudnn.deterministic = True
    model.to(machine.device, memory_format=torch.channels_last)
    batches = training_batches(settings, dataset, machine.device)
    validation = Batches(dataset.val, EVAL_BATCH, dataset.mean, dataset.std, machine.device)
    optimizer = make_optimizer(settings, model)
    schedule = make_schedule(settings, optimizer, len(batches))
    plateau = make_plateau(settings, optimizer)
    average = None
    if settings.ema_decay:
        follow = get_ema_multi_avg_fn(settings.ema_decay)
        average = AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
    options = {
        "label_smoothing": settings.label_smoothing,
        "mix": mixing(settings.mixup, settings.cutmix, len(dataset.classes)),
        "accumulate": settings.accumulate,
        "clip_norm": settings.clip_norm,
        "average": average,
    }
    network = step_network(model, settings)
    judged = average.module if average else model
    stateful = {"model": model, "optimizer": optimizer, "schedule": schedule}
    stateful |= {"plateau": plateau} if plateau else {}
    stateful |= {"average": average} if average else {}
    history: list[Row] = []
    last = checkpoints / "last.pt"
    torch.manual_seed(settings.seed)
    if resume and last.is_file():
        state = load_checkpoint(last)
        if state["data"] != dataset.fingerprint:
            raise LabError(f"{last} was trained on other data; delete it to begin anew.")
        for name, part in stateful.items():
            part.load_state_dict(state[name])
        history = state["history"]
        batches.epoch = len(history)
        batches.generator.set_state(state["order_rng"])
        set_rng_state(state["rng"], machine.device)
    try:
        while len(history) < settings.epochs and not out_of_patience(history, settings.patience):
            start, lr = time.perf_counter(), optimizer.param_groups[0]["lr"]
            train_loss, train_accuracy = train_epoch(
                network, batches, optimizer, schedule, machine, on_step=on_step, **options
            )
            synchronize(machine.device)
            seconds = time.perf_counter() - start
            logits, targets = predict(judged, validation, machine)
            row = {
                "epoch": len(history) + 1,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "val_loss": cross_entropy(logits, targets).item(),
                "val_accuracy": accuracy(logits, targets),
                "lr": lr,
                "seconds": seconds,
                "images_per_second": len(dataset.train) / seconds,
            }
            if not math.isfinite(train_loss + row["val_loss"]):
                raise LabError(
                    f"The loss is not a number after epoch {row['epoch']}; lower lr={settings.lr}."
                )
            best = max((r["val_accuracy"] for r in history), default=-1.0)
            history.append(row)
            if row["val_accuracy"] > best:
                save_best(checkpoints / "best.pt", judged, dataset, settings, row)
            if plateau:
                plateau.step(row["val_loss"])
            state = {
                **{name: part.state_dict() for name, part in stateful.items()},
                "history": history,
                "data": dataset.fingerprint,
                "order_rng": batches.generator.get_state(),
                "rng": rng_state(machine.device),
            }
            write_atomic(last, lambda path, state=state: torch.save(state, path))
            if on_epoch:
                on_epoch(history)
    except (MemoryError, RuntimeError) as error:  # CUDA's own kind is a RuntimeError
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        raise LabError(
            f"Out of memory at batch_size={settings.batch_size}; "
            f"try batch_size={max(1, settings.batch_size // 2)}."
        ) from error
    if average:
        model.load_state_dict(average.module.state_dict())
    return history
