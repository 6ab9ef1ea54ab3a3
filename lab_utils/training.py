"""Notebook 04: the training loop, with a checkpoint after every epoch.

A training that was stopped at any moment continues from its last whole epoch and ends with the
same weights, bit for bit, as one that was not.
"""

from collections.abc import Callable
import math
from pathlib import Path
import re
import time

from lab_utils import LabError, models
from lab_utils.batches import Augmentation, Batches, normalize
from lab_utils.checkpoints import (
    Row,
    load_checkpoint,
    model_options,
    rng_state,
    save_best,
    set_rng_state,
)
from lab_utils.data import Dataset
from lab_utils.evaluation import accuracy, predict
from lab_utils.files import write_atomic
from lab_utils.hardware import Machine, synchronize
from lab_utils.optim import make_optimizer, make_schedule
from lab_utils.settings import Settings
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

EVAL_BATCH = 500  # images; evaluation keeps no activations, so more fit than in training
# As CUDA and MPS, cuBLAS, and the CPU allocator of Linux and of Windows say it.
OUT_OF_MEMORY = re.compile(
    "out of memory|ALLOC_FAILED|can't allocate memory|not enough memory", re.IGNORECASE
)


def new_model(settings: Settings, dataset: Dataset) -> nn.Module:
    """The settings' model for ``dataset``, its weights drawn from the settings' seed."""
    torch.manual_seed(settings.seed)
    size = dataset.train.images.shape[-1]
    model = models.build(settings.model, len(dataset.classes), size, **model_options(settings))
    if isinstance(model, models.SpeedNet):
        model.init_whitening(normalize(dataset.train.images[:5000], dataset.mean, dataset.std))
    if settings.batch_norm_momentum is not None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = settings.batch_norm_momentum
    return model


def training_batches(settings: Settings, dataset: Dataset, device: torch.device) -> Batches:
    """Shuffled, augmented training batches; their order and crops follow from the seed."""
    return Batches(
        dataset.train,
        settings.batch_size,
        dataset.mean,
        dataset.std,
        device,
        Augmentation(
            settings.flip,
            settings.crop_padding,
            settings.cutout,
            settings.alternate_flip,
            settings.crop_fill,
            settings.rotation,
            settings.color_jitter,
        ),
        torch.Generator().manual_seed(settings.seed),
    )


def step_memory_mb(model: nn.Module, settings: Settings, machine: Machine, size: int) -> float:
    """Estimated memory of one training step in MB (10^6 bytes), beyond the data set.

    What autograd keeps for the backward pass is counted on two and on four images; the difference
    scales with the batch, the rest (bfloat16 copies of the weights) does not. Parameters count four
    times: weights, gradients, two optimiser moments. The model comes back as it was.
    """
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    device = next(model.parameters()).device

    def kept_bytes(images: int) -> int:
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        inputs = torch.zeros(images, 3, size, size, device=device)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), machine.autocast():
            output = model(inputs)  # alive until counted, so that no storage is used twice
        total = sum(b for key, b in kept.items() if key not in parameters)
        del output
        return total

    state = {key: value.clone() for key, value in model.state_dict().items()}
    two, four = kept_bytes(2), kept_bytes(4)
    model.load_state_dict(state)  # the running statistics of BatchNorm have moved
    per_image = (four - two) / 2
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return (per_image * settings.batch_size + two - 2 * per_image + 4 * weights) / 1e6


def train_epoch(
    model: nn.Module,
    batches: Batches,
    optimizer: Optimizer,
    schedule: LRScheduler,
    machine: Machine,
    label_smoothing: float = 0.0,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> tuple[float, float]:
    """One pass over ``batches``; mean loss and accuracy over the samples as they were seen.

    The loss returned is the plain cross-entropy, also where the one that is minimised is smoothed:
    so it can be compared with validation and between recipes.
    """
    model.train()
    loss_sum = torch.zeros((), device=machine.device)
    correct = torch.zeros((), dtype=torch.int64, device=machine.device)
    seen = 0
    for step, (inputs, targets) in enumerate(batches):
        with machine.autocast():
            logits = model(inputs)
        loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        # Sums stay on the device: reading them every step would make a GPU wait.
        with torch.no_grad():
            plain = (
                nn.functional.cross_entropy(logits.float(), targets) if label_smoothing else loss
            )
            loss_sum += plain * len(targets)
            correct += (logits.argmax(1) == targets).sum()
        seen += len(targets)
        if on_step:
            on_step(step, loss.detach())
    return loss_sum.item() / seen, correct.item() / seen


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
    ends after ``epochs``, or ``patience`` epochs after the one in ``best.pt``.

    Raises LabError where memory runs out or the loss is no longer a number.
    """
    if machine.device.type == "cuda":
        torch.backends.cudnn.deterministic = True
    model.to(machine.device, memory_format=torch.channels_last)
    batches = training_batches(settings, dataset, machine.device)
    validation = Batches(dataset.val, EVAL_BATCH, dataset.mean, dataset.std, machine.device)
    optimizer = make_optimizer(settings, model)
    schedule = make_schedule(settings, optimizer, len(batches))
    history: list[Row] = []
    last = checkpoints / "last.pt"
    torch.manual_seed(settings.seed)
    if resume and last.is_file():
        state = load_checkpoint(last)
        if state["data"] != dataset.fingerprint:
            raise LabError(f"{last} was trained on other data; delete it to begin anew.")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = state["history"]
        batches.epoch = len(history)
        batches.generator.set_state(state["order_rng"])
        set_rng_state(state["rng"], machine.device)
    try:
        while len(history) < settings.epochs and not out_of_patience(history, settings.patience):
            start, lr = time.perf_counter(), optimizer.param_groups[0]["lr"]
            train_loss, train_accuracy = train_epoch(
                model, batches, optimizer, schedule, machine, settings.label_smoothing, on_step
            )
            synchronize(machine.device)
            seconds = time.perf_counter() - start
            logits, targets = predict(model, validation, machine)
            row = {
                "epoch": len(history) + 1,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "val_loss": nn.functional.cross_entropy(logits, targets).item(),
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
                save_best(checkpoints / "best.pt", model, dataset, settings, row)
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
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
    return history
