"""Where the time of a training step goes, by kind of operator: the course's way and the lab's."""

from collections.abc import Iterable, Iterator
import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
import os
from statistics import median

import torch
from torch import Tensor, nn
from torch.profiler import profile, record_function
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torchvision import transforms

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model.summary import layer_table
from lab_utils.setup.hardware import Machine, machine_for, on_cpu, seconds_of
from lab_utils.speed.operators import BATCH, operator_shares
from lab_utils.training.loop import Batch, Training

_SIDE = 2048  # of the square matrices whose product is the yardstick
_TURNS = 5  # of steps and products


@dataclass(frozen=True)
class StepProfile:
    """One training step: its duration, and the share of it that each kind of operator takes."""

    seconds: float  # without the profiler
    images: int
    shares: dict[str, float]  # largest first; they sum to 1
    gflops: float  # of its convolutions and matrix products, per second
    peak_gflops: float  # of a large matrix product in the same precision, measured in turns with it

    def milliseconds(self, kind: str) -> float:
        """What operators of that kind take of the step."""
        return 1000 * self.seconds * self.shares.get(kind, 0.0)

    @property
    def share_of_peak(self) -> float | None:
        """``gflops`` as a share of the peak; None where that is above 1: not measurable now.

        Then another program took more time from the matrix products than from the steps.
        """
        share = self.gflops / self.peak_gflops
        return share if share <= 1 else None


def machine_of_profile(run: Run) -> Machine:
    """The run's, but the CPU for an Apple GPU, of which PyTorch's profiler has no times."""
    machine = machine_for(run)
    if machine.device.type == "mps":
        return on_cpu(run.settings, "PyTorch's profiler has no times of Apple GPUs")
    return machine


def course_step(settings: Settings, dataset: Dataset, machine: Machine) -> StepProfile:
    """A step of the settings' model as the course trains: DataLoader, float32, NCHW, Adam.

    The DataLoader has no worker processes here: what they do would not be seen from this one.
    """
    plain = replace(machine, dtype=torch.float32)
    kept = settings.model_dump(include={"model", "widths", "whitening_stride", "batch_size"})
    training = small_training(Settings(experiment="course", **kept), dataset, plain)
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
    return profile_step(small_training(settings, dataset, machine))


def small_training(settings: Settings, dataset: Dataset, machine: Machine) -> Training:
    """A fresh training on 16 batches: to prepare all images would take longer than the profile.

    It may take more steps than the settings' own, at which a schedule could end. Its images have
    their full size, for which operations are counted.
    """
    count = 16 * settings.batch_size
    few = Split(dataset.train.images[:count], dataset.train.targets[:count])
    long = settings.model_copy(update={"epochs": 10_000, "train_sides": ()})
    return Training(long, replace(dataset, train=few), machine)


def profile_step(training: Training) -> StepProfile:
    """Warm up, time some steps, take half as many under the profiler: a second or two in all.

    Steps and matrix products take turns, so that a busy moment slows both.
    """
    settings, machine = training.settings, training.machine
    endless = whole_batches(training.batches, settings.batch_size, machine.device)
    square = torch.randn(_SIDE, _SIDE, device=machine.device).to(machine.dtype)
    clock = partial(seconds_of, machine=machine)

    def take(steps: int) -> None:
        training.batches = islice(endless, steps * settings.accumulate)
        training.epoch()

    take(1)
    steps = max(1, min(4, int(0.1 / clock(lambda: take(1)))))
    square @ square
    turns = [
        (clock(lambda: take(steps)) / steps, clock(lambda: square @ square)) for _ in range(_TURNS)
    ]
    seconds, product = (median(column) for column in zip(*turns, strict=True))
    with quiet_profile() as profiler:
        # An event of each of its calls takes time too.
        profiled = clock(lambda: take(max(1, steps * _TURNS // 2)))
    images = settings.batch_size * settings.accumulate
    flops = training_flops(training.model, training.dataset.train.images.shape[-1])
    return StepProfile(
        seconds=seconds,
        images=images,
        shares=operator_shares(profiler.events(), profiled, machine.device.type == "cuda"),
        gflops=flops * images / seconds / 1e9,
        peak_gflops=2 * _SIDE**3 / product / 1e9,
    )


def quiet_profile() -> profile:
    """PyTorch's profiler, as a context; nothing goes to the notebook's error output."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # read when the first profile begins
    return profile(acc_events=True)


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
