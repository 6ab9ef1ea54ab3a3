"""Optimisers and learning-rate schedules: PyTorch's own, chosen by the settings.

Beside them what is missing there: several batches to one step, and a loss whose gradient is not
that of its value.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer, lr_scheduler

from lab_utils.core.settings import Settings
from lab_utils.training.history import Epoch


def make_optimizer(settings: Settings, model: nn.Module) -> Optimizer:
    """The settings' optimiser over all parameters of ``model`` that are learned.

    With ``muon_lr`` convolution filters go to Muon, all but those of the first layer: these see
    three colours, and have no 3 x 9 directions to spread over. Fused where PyTorch has that.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    filters = [p for p in learned if p.ndim == 4 and p.shape[1] > 3] if settings.muon_lr else []
    taken = {id(p) for p in filters}
    biases = [p for p in learned if p.ndim == 1] if settings.bias_lr else []
    taken |= {id(p) for p in biases}
    groups = [{"params": [p for p in learned if id(p) not in taken]}]
    if biases:
        # A step takes lr * weight_decay of each weight: the same share of biases, as airbench does.
        decay = settings.weight_decay * settings.lr / settings.bias_lr
        groups.append({"params": biases, "lr": settings.bias_lr, "weight_decay": decay})
    fused = learned[0].device.type in ("cpu", "cuda")
    common = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": fused}
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        rest = torch.optim.SGD(groups, momentum=settings.momentum, nesterov=nesterov, **common)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
        rest = kind(groups, betas=(settings.momentum, settings.beta2), **common)
    if not filters:
        return rest
    from lab_utils.training.muon import FilterMuon, Together

    return Together(rest, FilterMuon(filters, settings.muon_lr))


def make_schedule(
    settings: Settings, optimizer: Optimizer, batches_per_epoch: int
) -> lr_scheduler.LRScheduler:
    """The settings' learning-rate schedule; ``step()`` it after every optimiser step.

    It scales the rate of every parameter group alike. With ``accumulate`` an epoch has fewer steps
    than batches. ``warmup_epochs`` come first: a straight line up to the rate with which the
    schedule then begins. For ``plateau`` this is the warm-up alone; ``make_plateau`` has the rest.
    A new schedule needs its sentence too: ``SCHEDULES`` in core/settings.py.

    one_cycle is Smith and Topin's (arXiv:1708.07120) with a constant momentum; cosine is one half
    wave and warm_restarts several (arXiv:1608.03983).
    """
    s, per_epoch = settings, -(-batches_per_epoch // settings.accumulate)
    total = s.epochs * per_epoch
    if s.schedule == "one_cycle":
        return lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=total,
            # PyTorch divides by the length of the warm-up less one step.
            pct_start=max(s.warmup_fraction, min(1.5 / total, 0.99)),
            cycle_momentum=False,  # the momentum stays what the settings say
        )
    if s.schedule == "linear":
        warmup = s.warmup_fraction * total

        def share(step: int) -> float:
            # Up to 1 over the warm-up, down to 0 at the end.
            return min((step + 1) / max(warmup, 1), (total - step) / max(total - warmup, 1), 1.0)

        return lr_scheduler.LambdaLR(optimizer, share)
    warmup = max(1, round(s.warmup_epochs * per_epoch)) if s.warmup_epochs else 0
    schedules: list[lr_scheduler.LRScheduler] = []
    if warmup:
        schedules.append(lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup))
    if s.schedule == "cosine":
        steps = max(1, total - warmup)
        schedules.append(lr_scheduler.CosineAnnealingLR(optimizer, steps, s.min_lr))
    elif s.schedule == "warm_restarts":
        wave = s.restart_period * per_epoch, s.restart_factor, s.min_lr
        schedules.append(lr_scheduler.CosineAnnealingWarmRestarts(optimizer, *wave))
    elif s.schedule == "step":
        schedules.append(lr_scheduler.StepLR(optimizer, s.step_size * per_epoch, s.gamma))
    elif not warmup:  # constant and plateau leave the rate alone
        schedules.append(lr_scheduler.ConstantLR(optimizer, 1.0))
    if len(schedules) == 1:
        return schedules[0]
    return lr_scheduler.SequentialLR(optimizer, schedules, [warmup])


def make_plateau(settings: Settings, optimizer: Optimizer) -> lr_scheduler.ReduceLROnPlateau | None:
    """What ``step(val_loss)`` after every epoch does for ``plateau``; None for other schedules."""
    if settings.schedule != "plateau":
        return None
    wait = {"patience": settings.plateau_patience, "min_lr": settings.min_lr}
    return lr_scheduler.ReduceLROnPlateau(optimizer, factor=settings.gamma, **wait)


def schedule_values(
    settings: Settings, batches_per_epoch: int, history: Sequence[Epoch] | None = None
) -> list[float]:
    """The learning rate of every batch of the training to come, or of the one that ``history`` is.

    ``plateau`` is decided by the training: to come it is constant. With the history it is what it
    was, and a training that stopped early has fewer epochs.
    """
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], settings.lr, momentum=0.9)
    schedule = make_schedule(settings, optimizer, batches_per_epoch)
    plateau = make_plateau(settings, optimizer)
    values = []
    for epoch in range(len(history) if history else settings.epochs):
        for batch in range(1, batches_per_epoch + 1):
            values.append(optimizer.param_groups[0]["lr"])
            if batch % settings.accumulate == 0 or batch == batches_per_epoch:
                optimizer.step()
                schedule.step()
        if plateau and history:
            plateau.step(history[epoch].val_loss)
    return values


class Accumulation:
    """An optimiser that steps once for every ``accumulate`` batches, on the sum of their gradients.

    Of the batches left at the end of an epoch of ``images`` it makes one step, however few they
    are. Whoever minimises each batch's mean loss times ``share()`` gets the gradient of the mean
    over all images of the step.
    """

    def __init__(self, optimizer: Optimizer, images: int, settings: Settings) -> None:
        self.optimizer, self.images = optimizer, images
        self.size, self.together = settings.batch_size, settings.accumulate
        self.done = 0  # batches of this epoch

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of the optimiser, which loading a state replaces."""
        return self.optimizer.param_groups

    def share(self) -> float:
        """The share that the current batch has of the images of its step."""
        first = self.done - self.done % self.together
        step = min(self.images, (first + self.together) * self.size) - first * self.size
        return min(self.size, self.images - self.done * self.size) / step

    def zero_grad(self) -> None:
        """Clear the gradients before the first batch of a step."""
        if self.done % self.together == 0:
            self.optimizer.zero_grad()

    def step(self) -> None:
        """Count a batch; after the last one of a step, or of the epoch, update the weights."""
        self.done += 1
        batches = -(-self.images // self.size)
        if self.done % self.together == 0 or self.done == batches:
            self.optimizer.step()
        self.done %= batches


class Objective:
    """A loss whose value is the plain cross-entropy, and whose gradient is of what is minimised.

    So the curves of every recipe can be compared. ``share()`` is the batch's share of the images of
    one optimiser step: gradients of several batches then add up to that of one large batch.
    """

    def __init__(self, label_smoothing: float, share: Callable[[], float]) -> None:
        self.label_smoothing, self.share = label_smoothing, share

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        plain = cross_entropy(logits, targets)
        minimised = plain
        if self.label_smoothing:
            minimised = cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        zero_with_its_gradient = minimised - minimised.detach()
        return plain.detach() + self.share() * zero_with_its_gradient
