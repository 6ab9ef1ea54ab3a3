"""Optimisers and learning-rate schedules: PyTorch's own, chosen by the settings."""

from collections.abc import Sequence

import torch
from torch import nn
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
        groups.append({"params": biases, "lr": settings.bias_lr})
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
