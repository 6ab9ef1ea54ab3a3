"""The two loops that notebook 04 shows, and a training: all that a recipe puts around them.

``train_epoch`` knows a model, batches, a loss and an optimiser. Mixed precision, label smoothing,
MixUp, accumulated gradients, clipping, the schedule and the average of the weights are done by
these four, as ``Training`` makes them: a recipe without them leaves no trace, and any loop will do.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lab_utils.core.settings import Settings
from lab_utils.data.batches import Batches, training_batches
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model.build import new_model
from lab_utils.model.predict import count_correct
from lab_utils.setup.hardware import Machine
from lab_utils.training.checkpoints import rng_state, set_rng_state
from lab_utils.training.history import Epoch, ThreadChoice, best_of
from lab_utils.training.optim import (
    Accumulation,
    Objective,
    make_optimizer,
    make_plateau,
    make_schedule,
)

Batch = tuple[Tensor, Tensor]  # inputs (B, 3, H, W) float32, targets (B,) int64 or (B, K) shares
Loss = Callable[[Tensor, Tensor], Tensor]  # logits (B, K) and targets to a scalar
Loop = Callable[[nn.Module, Iterable[Batch], Loss, Any], tuple[float, float]]  # as train_epoch
Validate = Callable[[nn.Module, Iterable[Batch]], tuple[float, float]]  # as validate
OnStep = Callable[[int, Tensor], None]  # after each batch: its number in the epoch, and its loss
EVAL_BATCH = 500  # images; evaluation keeps no activations, so more fit than in training


def train_epoch(
    model: nn.Module, batches: Iterable[Batch], loss_function: Loss, optimizer: Optimizer
) -> tuple[float, float]:
    """One pass over ``batches``; mean loss and accuracy of the images as they were seen."""
    model.train()
    loss_sum, correct, images = 0.0, 0, 0
    for inputs, targets in batches:
        logits = model(inputs)
        loss = loss_function(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Both sums stay tensors: to read a number in every step would make a GPU wait.
        loss_sum += loss.detach() * len(targets)
        correct += count_correct(logits, targets)
        images += len(targets)
    return float(loss_sum) / images, float(correct) / images


def validate(model: nn.Module, batches: Iterable[Batch]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of all images, in evaluation mode, without gradients."""
    mode = model.training
    model.eval()
    logits, targets = [], []
    with torch.no_grad():
        for inputs, classes in batches:
            logits.append(model(inputs))
            targets.append(classes)
    model.train(mode)
    logits, targets = torch.cat(logits), torch.cat(targets)
    correct = count_correct(logits, targets).item()
    return cross_entropy(logits, targets).item(), correct / len(targets)


class Training:
    """Model, batches, optimiser, schedule and average of one training, as its settings say.

    ``model`` is the settings' network (or one handed in), on the machine's device with channels
    last; ``batches`` may be replaced by any iterable of batches; ``history`` has an ``Epoch`` for
    each that ``fit`` has finished, ``choices`` how many threads it used, ``resumed_from`` after how
    many it was last gone on with. Raises LabError where batch size or weights cannot be had.
    """

    def __init__(
        self, settings: Settings, dataset: Dataset, machine: Machine, model: nn.Module | None = None
    ) -> None:
        self.settings, self.dataset, self.machine = settings, dataset, machine
        model = model or new_model(settings, dataset)
        self.model = model.to(machine.device, memory_format=torch.channels_last)
        self.batches: Iterable[Batch] = training_batches(settings, dataset, machine.device)
        self._order = self.batches  # kept for the state, if batches are replaced
        self.history: list[Epoch] = []
        self.choices: list[ThreadChoice] = []  # ``Pace`` makes them
        self.resumed_from = 0
        self.average: AveragedModel | None = None
        if settings.ema_decay:
            follow = get_ema_multi_avg_fn(settings.ema_decay)
            self.average = AveragedModel(self.model, multi_avg_fn=follow, use_buffers=True)
        self.use_optimizer(make_optimizer(settings, self.model))
        self.network = self.model
        if settings.compile:
            # The kernels of a step are recorded once as a CUDA graph and replayed, so that Python's
            # launching of them, most of a small network's step on a GPU, is paid once.
            self.network = torch.compile(self.model, mode="reduce-overhead")
        self.network = _precise(self.network, machine)

    def use_optimizer(self, optimizer: Optimizer) -> None:
        """Train with ``optimizer``: its steps clip first, and move schedule and average after."""
        settings, model, average = self.settings, self.model, self.average
        self.optimizer: Any = optimizer
        self.schedule = schedule = make_schedule(settings, optimizer, len(self._order))
        self.plateau = make_plateau(settings, optimizer)
        if settings.clip_norm:
            optimizer.register_step_pre_hook(partial(_clip, model, settings.clip_norm))
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        if average:
            optimizer.register_step_post_hook(lambda *_: average.update_parameters(model))
        self.loss_function: Loss = cross_entropy
        if settings.accumulate > 1 or settings.label_smoothing:
            self.optimizer = Accumulation(optimizer, len(self.dataset.train), settings)
            self.loss_function = Objective(settings.label_smoothing, self.optimizer.share)

    @property
    def judged(self) -> nn.Module:
        """What is validated and kept: the model, or the average of its weights."""
        return self.average.module if self.average else self.model

    @property
    def steps_per_epoch(self) -> int:
        """How often the optimiser steps in an epoch: batches may add up."""
        return -(-len(self.batches) // self.settings.accumulate)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or so many as ``patience`` allows since the best one."""
        settings, epochs = self.settings, len(self.history)
        if settings.patience and self.history:
            return epochs >= min(settings.epochs, best_of(self.history).epoch + settings.patience)
        return epochs >= settings.epochs

    def epoch(
        self, train_epoch: Loop = train_epoch, on_step: OnStep | None = None
    ) -> tuple[float, float]:
        """Train once on all batches with the loop ``train_epoch``; its mean loss and accuracy."""
        if on_step is None:
            return train_epoch(self.network, self.batches, self.loss_function, self.optimizer)
        losses: list[Tensor] = []

        def noted(logits: Tensor, targets: Tensor) -> Tensor:
            losses.append(self.loss_function(logits, targets))
            return losses[-1]

        def told() -> Iterator[Batch]:
            for step, batch in enumerate(self.batches):
                yield batch  # the loop comes back for the next one when it is done with this
                on_step(step, losses[-1].detach() if losses else torch.tensor(torch.nan))
                losses.clear()

        return train_epoch(self.network, told(), noted, self.optimizer)

    def validate(
        self, validate: Validate = validate, split: Split | None = None
    ) -> tuple[float, float]:
        """Mean loss and accuracy of ``split``, or of the validation images, as they are."""
        batches = Batches(
            split or self.dataset.val, EVAL_BATCH, self.dataset.normalization, self.machine.device
        )
        return validate(_precise(self.judged, self.machine), batches)

    def _parts(self) -> dict[str, Any]:
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        parts = {"model": self.model, "optimizer": optimizer, "schedule": self.schedule}
        parts |= {"plateau": self.plateau, "average": self.average}
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which ``load_state_dict`` goes on, bit for bit."""
        return {
            **{name: part.state_dict() for name, part in self._parts().items()},
            "history": [row._asdict() for row in self.history],
            "choices": [choice._asdict() for choice in self.choices],
            "resumed_from": self.resumed_from,
            "data": self.dataset.fingerprint,
            "order_rng": self._order.generator.get_state(),
            "rng": rng_state(self.machine.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken.

        Raises KeyError, TypeError, ValueError or RuntimeError where ``state`` is of no such
        training, or of one on other data.
        """
        if state["data"] != self.dataset.fingerprint:
            raise ValueError("it was trained on other data")
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.history = [Epoch(**row) for row in state["history"]]
        self.choices = [ThreadChoice(**row) for row in state.get("choices", ())]
        self.resumed_from = state.get("resumed_from", 0)
        self._order.epoch = len(self.history)
        self._order.generator.set_state(state["order_rng"])
        set_rng_state(state["rng"], self.machine.device)


def _clip(model: nn.Module, norm: float, *_: Any) -> None:
    clip_grad_norm_(model.parameters(), norm)


def _precise(model: nn.Module, machine: Machine) -> nn.Module:
    """``model`` in the machine's precision: itself where that is float32."""
    return model if machine.dtype == torch.float32 else MixedPrecision(model, machine)


class MixedPrecision(nn.Module):
    """``model`` with matrix products in the machine's precision; its logits are float32."""

    def __init__(self, model: nn.Module, machine: Machine) -> None:
        super().__init__()
        self.model, self.machine, self.training = model, machine, model.training

    def forward(self, inputs: Tensor) -> Tensor:
        with self.machine.autocast():
            return self.model(inputs).float()
