"""Where the time of a training step goes, by kind of operator: the course's way and the lab's."""

from collections import Counter
from collections.abc import Iterable, Iterator
import copy
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
import os
import re
import time

import torch
from torch import Tensor, nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import profile, record_function
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torchvision import transforms

from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model.summary import layer_table
from lab_utils.setup.hardware import Machine, matmul_gflops, synchronize
from lab_utils.training.loop import Batch, Training

BATCH, OPTIMIZER, COPIES, OTHER = "making the batch", "optimiser", "copies, conversions", "other"
# The first pattern that is found in the name of an operator, or of the one that called it.
OPERATORS = {
    "convolution, backward": "conv.*backward",
    "convolution, forward": "conv",
    "batch norm": "batch_?norm",
    "pooling": "pool",
    "linear layers": "linear|addmm|::mm",
    "loss": "softmax|loss|crossentropy",
    # dropout, residual sums and the running loss among them
    "activations, sums": "relu|elu|threshold|clamp|dropout|bernoulli|add|mul|div|argmax|::eq|::sum",
}


@dataclass(frozen=True)
class StepProfile:
    """One training step: its duration, and the share of it that each kind of operator takes."""

    seconds: float  # without the profiler
    images: int
    shares: dict[str, float]  # largest first; they sum to 1
    gflops: float  # of its convolutions and matrix products, per second
    peak_gflops: float  # of a large matrix product in the same precision, measured beside it

    def milliseconds(self, kind: str) -> float:
        """What operators of that kind take of the step."""
        return 1000 * self.seconds * self.shares.get(kind, 0.0)


def course_step(settings: Settings, dataset: Dataset, machine: Machine) -> StepProfile:
    """A step of the settings' model as the course trains: DataLoader, float32, NCHW, Adam.

    The DataLoader has no worker processes here: what they do would not be seen from this one.
    """
    plain = replace(machine, dtype=torch.float32)
    kept = settings.model_dump(include={"model", "widths", "whitening_stride", "batch_size"})
    training = _small_training(Settings(experiment="course", **kept), dataset, plain)
    training.model.to(memory_format=torch.contiguous_format)
    training.use_optimizer(torch.optim.Adam(training.model.parameters(), lr=1e-3))
    steps = [
        transforms.ToPILImage(),  # as torchvision's CIFAR10 gives an image
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(dataset.train.images.shape[-1], padding=4),
        transforms.ToTensor(),
        transforms.Normalize(*dataset.normalization),
    ]
    transform = transforms.Compose(steps)
    pairs = TensorDataset(training.dataset.train.images, training.dataset.train.targets)
    training.batches = DataLoader(
        pairs, settings.batch_size, shuffle=True,
        collate_fn=lambda few: default_collate([(transform(image), y) for image, y in few]),
    )  # fmt: skip
    return profile_step(training)


def lab_step(settings: Settings, dataset: Dataset, machine: Machine) -> StepProfile:
    """A step as ``fit`` takes it: all that the settings ask for, as the machine is best at it."""
    return profile_step(_small_training(settings, dataset, machine))


def _small_training(settings: Settings, dataset: Dataset, machine: Machine) -> Training:
    """A training on 16 batches, as to prepare all images takes longer than the profile.

    It may take more steps than the settings' own, at which a schedule could end.
    """
    count = 16 * settings.batch_size
    few = Split(dataset.train.images[:count], dataset.train.targets[:count])
    long = settings.model_copy(update={"epochs": 10_000})
    return Training(long, replace(dataset, train=few), machine)


def profile_step(training: Training) -> StepProfile:
    """Warm up, time some steps, take half as many under the profiler: about a second in all."""
    settings, machine = training.settings, training.machine
    endless = whole_batches(training.batches, settings.batch_size, machine.device)

    def seconds_of(steps: int) -> float:
        start = time.perf_counter()
        training.batches = islice(endless, steps * settings.accumulate)
        training.epoch()
        synchronize(machine.device)
        return time.perf_counter() - start

    seconds_of(1)
    steps = max(1, min(10, int(0.2 / seconds_of(1))))
    seconds = seconds_of(steps) / steps
    peak = matmul_gflops(machine, machine.dtype)
    # Its own log would go to the notebook's error output; read when the first profile begins.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with profile(acc_events=True) as profiler:
        profiled = seconds_of(max(1, steps // 2))  # an event of each of its calls takes time too
    images = settings.batch_size * settings.accumulate
    flops = training_flops(training.model, training.dataset.train.images.shape[-1])
    return StepProfile(
        seconds=seconds,
        images=images,
        shares=operator_shares(profiler.events(), profiled, machine.device.type == "cuda"),
        gflops=flops * images / seconds / 1e9,
        peak_gflops=peak,
    )


def training_flops(model: nn.Module, image_size: int = 32) -> int:
    """Floating-point operations of one image's forward and backward pass.

    A layer's forward pass counts as in ``summary.layer_table``; the gradients of its weights and of
    its input cost the same each, where they are needed: the first layer's input needs none. What
    the optimiser does is not counted. ``model`` stays as it is.
    """
    # PyTorch's own counter takes the backward pass of a grouped convolution for a dense one's.
    model = copy.deepcopy(model).to("meta").eval()
    layers = [(model.get_submodule(row.name), row.flops) for row in layer_table(model, image_size)]
    passes = {}

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        learned = any(p.requires_grad for p in layer.parameters())
        passes[layer] = 1 + learned + inputs[0].requires_grad

    for layer, _ in layers:
        layer.register_forward_hook(count)
    model(torch.empty(1, 3, image_size, image_size, device="meta"))
    return sum(flops * passes[layer] for layer, flops in layers)


def operator_shares(
    events: Iterable[FunctionEvent], seconds: float, cuda: bool
) -> dict[str, float]:
    """The share of ``seconds`` that each kind of operator takes, largest first; they sum to 1.

    The time of an event is its own, without that of what it calls: on the processor, or with
    ``cuda`` in the GPU's kernels. What no event took is Python's, or the GPU's waiting.
    """
    spent: Counter[str] = Counter()
    for event in events:
        if event.device_type == torch.autograd.DeviceType.CPU:
            own = event.self_device_time_total if cuda else event.self_cpu_time_total
            spent[_kind(event)] += own / 1e6
    spent["GPU waits" if cuda else "Python"] = max(0.0, seconds - spent.total())
    return {name: own / spent.total() for name, own in spent.most_common()}


def _kind(event: FunctionEvent) -> str:
    """The kind of an operator, by its own name or that of the nearest caller which tells it."""
    names = []
    while event is not None:
        names.append(event.name.lower())
        event = event.cpu_parent
    if BATCH in names:
        return BATCH
    if any(name.startswith("optimizer.") for name in names):
        return OPTIMIZER
    if re.search("::(copy_|_?to|_to_copy|contiguous|clone)$", names[0]):
        return COPIES
    told = (kind for name in names for kind, word in OPERATORS.items() if re.search(word, name))
    return next(told, OTHER)


def whole_batches(
    batches: Iterable[Batch], batch_size: int, device: torch.device
) -> Iterator[Batch]:
    """Epoch after epoch without the smaller last batch, the making of each under its own name."""
    endless = chain.from_iterable(repeat(batches))
    while True:
        with record_function(BATCH):
            inputs, targets = (tensor.to(device) for tensor in next(endless))
        if len(targets) == batch_size:
            yield inputs, targets
