"""Damage by chance: noise, blur and compression of uint8 images, and what they leave right."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Normalization, Split
from lab_utils.deployment.pictures import jpeg
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.model.predict import predict
from lab_utils.setup.hardware import Machine


@dataclass(frozen=True)
class Accuracy:
    """What is right of some images after a damage, with Wilson's 95% interval; fractions of 1."""

    damage: str  # noise, blur, jpeg, FGSM, PGD or none
    strength: float  # in the unit of CORRUPTIONS; of an attack its epsilon, in grey levels of 255
    images: int
    correct: int
    accuracy: float
    low: float
    high: float

    @classmethod
    def of(cls, right: Tensor, damage: str = "none", strength: float = 0) -> Self:
        """Of ``right`` (N,), a boolean for each image."""
        n, correct = len(right), int(right.sum())
        return cls(damage, strength, n, correct, correct / n, *wilson_interval(correct, n))


def noise(images: Tensor, sigma: float) -> Tensor:
    """``images`` plus Gaussian noise of ``sigma`` grey levels, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    added = sigma * torch.randn(images.shape, generator=generator)
    return (images + added).round().clamp(0, 255).to(torch.uint8)


def blur(images: Tensor, sigma: float) -> Tensor:
    """``images`` under a Gaussian of ``sigma`` pixels, cut off at 3 sigma."""
    # The border is mirrored, which a kernel wider than the image does not allow.
    reach = min(-(-3 * sigma // 1), min(images.shape[-2:]) - 1)
    return functional.gaussian_blur(images, [2 * int(reach) + 1] * 2, [float(sigma)] * 2)


CORRUPTIONS = {  # with strengths from hardly visible to plain
    noise: (8, 16, 32),  # standard deviation, in grey levels of 255
    blur: (0.5, 1.0, 2.0),  # standard deviation, in pixels
    jpeg: (75, 30, 10),  # quality, from 100 (best) down
}


def corruption_curve(
    network: nn.Module, split: Split, normalization: Normalization, machine: Machine
) -> list[Accuracy]:
    """Accuracy on ``split`` (on the CPU) under each corruption, after Hendrycks (arXiv:1903.12261).

    Images are damaged first and normalised then, as a camera's would be.
    """
    rows = []
    for corrupt, strengths in CORRUPTIONS.items():
        for strength in strengths:
            damaged = Split(corrupt(split.images, strength), split.targets)
            batches = Batches(damaged, 250, normalization, machine.device)
            logits, targets = predict(network, batches, machine)
            rows.append(Accuracy.of(logits.argmax(1) == targets, corrupt.__name__, strength))
    return rows
