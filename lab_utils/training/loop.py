"""One epoch of training: the loop that notebook 04 shows and the report prints."""

from collections.abc import Callable, Iterable
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from lab_utils.core.settings import Settings
from lab_utils.setup.hardware import Machine


def step_network(model: nn.Module, settings: Settings) -> nn.Module:
    """What ``train_epoch`` calls: ``model``, or with ``compile`` its compiled form, same weights.

    ``reduce-overhead`` records the kernels of a step once as a CUDA graph and replays them, so that
    Python's launching of them, most of a small network's step on a GPU, is paid once.
    """
    return torch.compile(model, mode="reduce-overhead") if settings.compile else model


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    schedule: LRScheduler,
    machine: Machine,
    label_smoothing: float = 0.0,
    on_step: Callable[[int, Tensor], None] | None = None,
    *,
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    average: AveragedModel | None = None,
) -> tuple[float, float]:
    """One pass over ``batches``; mean loss and accuracy over the samples as they were seen.

    The loss returned is the plain cross-entropy, also where the one that is minimised is smoothed:
    so it can be compared with validation and between recipes. Where ``mix`` makes one image of two,
    it is measured against the shares of both, and stays above zero even for a perfect model;
    accuracy then counts the images for which the class with the larger share is found.

    The gradients of ``accumulate`` batches, or of those left at the end of the epoch, add up to
    that of one large batch, which is shortened to ``clip_norm`` if it is longer; ``average``
    follows the weights after every step.
    """
    model.train()
    loss_sum = torch.zeros((), device=machine.device)
    correct = torch.zeros((), dtype=torch.int64, device=machine.device)
    seen = step = 0
    iterator = iter(batches)
    while group := list(islice(iterator, accumulate)):
        together = sum(len(targets) for _, targets in group)
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for inputs, targets in group:
            if mix:
                inputs, targets = mix(inputs, targets)
            with machine.autocast():
                logits = model(inputs)
            loss = cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
            (loss * (len(targets) / together)).backward()
            # Sums stay on the device: reading them every step would make a GPU wait.
            with torch.no_grad():
                plain = cross_entropy(logits.float(), targets) if label_smoothing else loss
                loss_sum += plain * len(targets)
                labels = targets.argmax(1) if mix else targets
                correct += (logits.argmax(1) == labels).sum()
            losses.append(loss.detach())
            seen += len(targets)
        if clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        schedule.step()
        if average:
            average.update_parameters(model)
        for loss in losses if on_step else ():
            on_step(step, loss)
            step += 1
    return loss_sum.item() / seen, correct.item() / seen
