"""What the lab's networks cost beside each other: on paper, and in time on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lab_utils.core.settings import MODELS, Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model import networks
from lab_utils.model.build import model_options
from lab_utils.model.predict import first_batch
from lab_utils.model.summary import summarize
from lab_utils.setup.hardware import Machine, seconds_of_calls

IMAGES = 32  # of a training step and of a forward pass
# A training step of a network on inputs and targets, by an optimiser.
Step = Callable[[nn.Module, Tensor, Tensor, torch.optim.Optimizer], Any]


@dataclass(frozen=True)
class Costs:
    """A row of notebook 03's comparison of networks; times are in milliseconds."""

    name: str
    parameters: int
    flops: int  # of one image
    weight_bytes: int
    receptive_field: int  # pixels a side
    step_ms: float  # a training step of 32 images
    inference_ms: float  # the forward pass of 32 images
    inference_ms_1: float | None = None  # of one image, and of 128: for the twins alone
    inference_ms_128: float | None = None


def compare(
    settings: Settings, dataset: Dataset, machine: Machine, train_step: Step
) -> list[Costs]:
    """What each of ``MODELS`` costs on the images of ``dataset``, untrained.

    The settings' own model is as they say, all others as they are by default. ``train_step`` is
    timed with Adam.
    """
    inputs, targets = _batch(dataset, IMAGES, machine)
    rows = []
    for name in MODELS:
        options = model_options(settings) if name == settings.model else {}
        model = _network(name, dataset, machine, **options)
        rows.append(_row(name, model, inputs, targets, machine, train_step))
    return rows


def _row(
    name: str, model: nn.Module, inputs: Tensor, targets: Tensor, machine: Machine, step: Step
) -> Costs:
    facts = summarize(model, inputs.shape[-1])
    optimizer = torch.optim.Adam(model.parameters())
    model.train()
    step_ms = fastest_ms(lambda: step(model, inputs, targets, optimizer), machine, budget=0.1)
    return Costs(
        name=name,
        parameters=facts.parameters,
        flops=facts.flops,
        weight_bytes=facts.weight_bytes,
        receptive_field=facts.receptive_field,
        step_ms=step_ms,
        inference_ms=inference_ms(model, inputs, machine),
    )


def fastest_ms(action: Callable[[], Any], machine: Machine, budget: float) -> float:
    """Milliseconds of the fastest of the calls within ``budget`` seconds, three at the least.

    All that a busy machine does adds to a time, so the smallest is the closest; the first call,
    which allocates memory and chooses algorithms, is hardly ever it.
    """
    return 1000 * min(seconds_of_calls(action, machine, budget))


def inference_ms(model: nn.Module, inputs: Tensor, machine: Machine) -> float:
    """Milliseconds of a forward pass in evaluation mode, which the model is left in."""
    model.eval()

    def forward() -> None:
        with torch.inference_mode(), machine.autocast():
            model(inputs)

    return fastest_ms(forward, machine, budget=0.05)


def compare_twins(
    rows: Sequence[Costs], dataset: Dataset, machine: Machine, turns: int = 3
) -> tuple[Costs, Costs]:
    """CompactNet and its twin with standard convolutions, timed on one image and on 128 as well.

    The two take turns, so that a busy moment of the machine hits both.
    """
    named = {row.name: row for row in rows}
    pair = [named["compactnet"], named["compactnet_standard"]]
    models = [_network(row.name, dataset, machine) for row in pair]
    for count in (1, 128):
        inputs, _ = _batch(dataset, count, machine)
        times = [[inference_ms(model, inputs, machine) for model in models] for _ in range(turns)]
        fastest = map(min, zip(*times, strict=True))
        pair = [
            replace(row, **{f"inference_ms_{count}": ms})
            for row, ms in zip(pair, fastest, strict=True)
        ]
    lean, plain = pair
    return lean, plain


def _network(name: str, dataset: Dataset, machine: Machine, **options: object) -> nn.Module:
    size = dataset.train.images.shape[-1]
    model = networks.build(name, len(dataset.classes), size, **options)
    return model.to(machine.device, memory_format=torch.channels_last)


def _batch(dataset: Dataset, count: int, machine: Machine) -> tuple[Tensor, Tensor]:
    """The first ``count`` training images, from the first again where there are fewer."""
    index = torch.arange(count) % len(dataset.train)
    images = Split(dataset.train.images[index], dataset.train.targets[index])
    return first_batch(images, count, dataset.normalization, machine)
