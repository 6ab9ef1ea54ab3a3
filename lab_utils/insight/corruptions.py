"""What is left of the accuracy when test images are damaged, by chance or on purpose.

Images are uint8 or, for the attacks, float32 in [0, 1]: strengths are in units of the image, not of
the normalised input. Every curve counts correct images and gives Wilson's 95% interval. The attacks
need Captum (``attribution.captum``), the corruptions do not.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
import torch
from torch import Tensor, nn

from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Split
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.model.predict import predict
from lab_utils.setup.hardware import Machine

# Strengths that go from hardly visible to plain, in the unit of each.
NOISE = (8, 16, 32)  # standard deviation, in grey levels of 255


BLUR = (0.5, 1.0, 2.0)  # standard deviation, in pixels


JPEG = (75, 30, 10)  # quality, from 100 (best) down


def noise(images: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """uint8 ``images`` plus Gaussian noise of ``sigma`` grey levels, rounded and clipped."""
    generator = torch.Generator().manual_seed(seed)
    added = sigma * torch.randn(images.shape, generator=generator)
    return (images + added).round().clamp(0, 255).to(torch.uint8)


def blur(images: Tensor, sigma: float) -> Tensor:
    """uint8 ``images`` under a Gaussian of ``sigma`` pixels, cut off at 3 sigma; by torchvision."""
    from torchvision.transforms.v2 import functional

    # The border is mirrored, which a kernel wider than the image does not allow.
    reach = min(-(-3 * sigma // 1), min(images.shape[-2:]) - 1)
    return functional.gaussian_blur(images, [2 * int(reach) + 1] * 2, [float(sigma)] * 2)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """uint8 ``images`` (N, 3, H, W) after JPEG compression at ``quality`` (1 to 100); by Pillow.

    torchvision's own JPEG functions are deprecated.
    """
    decoded = []
    for image in images.permute(0, 2, 3, 1).numpy():
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            decoded.append(np.asarray(opened))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous()


def corruption_curve(
    network: nn.Module,
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    machine: Machine,
) -> list[dict[str, Any]]:
    """Accuracy on ``split`` (on the CPU) under each corruption, after Hendrycks (arXiv:1903.12261).

    Rows: ``corruption`` (noise, blur, jpeg), ``severity`` in the unit of the constants above, and
    ``images``, ``correct``, ``accuracy``, ``low``, ``high``.
    """
    rows = []
    for function, strengths in ((noise, NOISE), (blur, BLUR), (jpeg, JPEG)):
        for strength in strengths:
            damaged = Split(function(split.images, strength), split.targets)
            batches = Batches(damaged, 250, mean, std, machine.device)
            logits, targets = predict(network, batches, machine)
            row = {"corruption": function.__name__, "severity": strength}
            rows.append(row | counted(logits.argmax(1) == targets))
    return rows


def counted(right: Tensor) -> dict[str, Any]:
    """``images``, ``correct``, ``accuracy`` and its interval ``low`` to ``high``; (N,) booleans."""
    correct, images = int(right.sum()), len(right)
    low, high = wilson_interval(correct, images)
    accuracy = correct / images
    return {"images": images, "correct": correct, "accuracy": accuracy, "low": low, "high": high}
