"""Damage by chance: noise, blur and compression of uint8 images, and what they leave right."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import numpy as np
from PIL import Image
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Normalization, Split
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.model.predict import predict
from lab_utils.setup.hardware import Machine

# Strengths that go from hardly visible to plain, in the unit of each.
NOISE = (8, 16, 32)  # standard deviation, in grey levels of 255
BLUR = (0.5, 1.0, 2.0)  # standard deviation, in pixels
JPEG = (75, 30, 10)  # quality, from 100 (best) down


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """An accuracy on some images with its 95% interval (Wilson's), in fractions of 1."""

    images: int
    correct: int
    accuracy: float
    low: float
    high: float

    @classmethod
    def of(cls, right: Tensor, **others: Any) -> Self:
        """Of ``right`` (N,), a boolean for each image; ``others`` are what a subclass adds."""
        n, correct = len(right), int(right.sum())
        low, high = wilson_interval(correct, n)
        return cls(images=n, correct=correct, accuracy=correct / n, low=low, high=high, **others)


@dataclass(frozen=True, kw_only=True)
class Damaged(Accuracy):
    """The accuracy on images that a corruption has damaged."""

    corruption: str  # noise, blur or jpeg
    severity: float  # in the unit of NOISE, BLUR or JPEG


def noise(images: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """uint8 ``images`` plus Gaussian noise of ``sigma`` grey levels, rounded and clipped."""
    generator = torch.Generator().manual_seed(seed)
    added = sigma * torch.randn(images.shape, generator=generator)
    return (images + added).round().clamp(0, 255).to(torch.uint8)


def blur(images: Tensor, sigma: float) -> Tensor:
    """uint8 ``images`` under a Gaussian of ``sigma`` pixels, cut off at 3 sigma."""
    # The border is mirrored, which a kernel wider than the image does not allow.
    reach = min(-(-3 * sigma // 1), min(images.shape[-2:]) - 1)
    return functional.gaussian_blur(images, [2 * int(reach) + 1] * 2, [float(sigma)] * 2)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """uint8 ``images`` (N, 3, H, W) after JPEG compression at ``quality`` (1 to 100).

    By Pillow: torchvision's own JPEG functions are deprecated.
    """
    decoded = []
    for image in images.permute(0, 2, 3, 1).numpy():
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            decoded.append(np.asarray(opened))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous()


def corruption_curve(
    network: nn.Module, split: Split, normalization: Normalization, machine: Machine
) -> list[Damaged]:
    """Accuracy on ``split`` (on the CPU) under each corruption, after Hendrycks (arXiv:1903.12261).

    Images are damaged first and normalised then, as a camera's would be.
    """
    rows = []
    for function, strengths in ((noise, NOISE), (blur, BLUR), (jpeg, JPEG)):
        for strength in strengths:
            damaged = Split(function(split.images, strength), split.targets)
            batches = Batches(damaged, 250, normalization, machine.device)
            logits, targets = predict(network, batches, machine)
            right = logits.argmax(1) == targets
            rows.append(Damaged.of(right, corruption=function.__name__, severity=strength))
    return rows
