"""Optimisers and learning-rate schedules: PyTorch's own, chosen by the settings."""

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from lab_utils.settings import Settings


def make_optimizer(settings: Settings, model: nn.Module) -> Optimizer:
    """The settings' optimiser over all parameters of ``model``; fused where PyTorch has that."""
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    common = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": fused}
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            **common,
        )
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return optimizer(model.parameters(), **common)


def make_schedule(
    settings: Settings, optimizer: Optimizer, steps_per_epoch: int
) -> lr_scheduler.LRScheduler:
    """The settings' learning-rate schedule; ``step()`` it after every optimiser step.

    one_cycle is Smith and Topin's (arXiv:1708.07120) with a constant momentum; cosine is one half
    wave (arXiv:1608.03983).
    """
    total = settings.epochs * steps_per_epoch
    if settings.schedule == "one_cycle":
        return lr_scheduler.OneCycleLR(
            optimizer,
            settings.lr,
            total_steps=total,
            pct_start=settings.warmup_fraction,
            cycle_momentum=False,  # the momentum stays what the settings say
        )
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    every = settings.step_size * steps_per_epoch if settings.schedule == "step" else total + 1
    return lr_scheduler.StepLR(optimizer, every, settings.gamma)


def schedule_values(settings: Settings, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of the training to come."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], settings.lr, momentum=0.9)
    schedule = make_schedule(settings, optimizer, steps_per_epoch)
    values = []
    for _ in range(settings.epochs * steps_per_epoch):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return values
