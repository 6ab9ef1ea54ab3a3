"""The exercises of notebook 06: what must happen to an image before a network sees it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def normalized(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    """uint8 (B, 3, H, W) to float32, (x / 255 - mean) / std for each channel."""
    mean = torch.tensor([102, 128, 51]).view(3, 1, 1) / 255
    std = torch.tensor([0.25, 0.2, 0.3]).view(3, 1, 1)
    generator = torch.Generator().manual_seed(6)
    cases = {
        "whose pixels are all at the mean": (255 * mean).round().byte().expand(1, 3, 2, 2),
        "that is white": torch.full((1, 3, 4, 4), 255, dtype=torch.uint8),
        "that is black": torch.zeros(1, 3, 1, 1, dtype=torch.uint8),
        "of random pixels": torch.randint(256, (2, 3, 4, 5), generator=generator).byte(),
    }
    for kind, images in cases.items():
        right = (images / 255 - mean) / std
        found = call(answer, images, mean.clone(), std.clone())
        expect(isinstance(found, Tensor), f"it gives a {type(found).__name__}, not a tensor")
        shapes = f"{tuple(images.shape)} images become {tuple(found.shape)}; the shape must stay"
        expect(found.shape == images.shape, shapes)
        expect(found.dtype == torch.float32, f"it gives {found.dtype}; the network takes float32")
        worst = torch.unravel_index((found - right).abs().argmax(), right.shape)
        values = f"a value of channel {worst[1]} is {found[worst]:.4g}, not {right[worst]:.4g}"
        close = torch.allclose(found, right, rtol=1e-4, atol=1e-4)
        expect(close, f"in an image {kind} {values}")
    return "the image at the mean becomes 0, and all others agree too"


@exercise
def onnx_input(answer: Callable[[np.ndarray], np.ndarray]) -> str:
    """A picture, uint8 (H, W, 3), to float32 (1, 3, H, W) in 0..1, with NumPy."""
    generator = np.random.default_rng(6)
    for height, width in ((2, 5), (3, 2), (4, 4), (1, 1)):
        picture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture[0, 0] = 255, 128, 0
        right = np.stack([picture[..., channel] / 255 for channel in range(3)])[None]
        found = call(answer, picture)
        kind, given = type(found).__name__, f"for a picture of shape {picture.shape}"
        expect(isinstance(found, np.ndarray), f"it gives a {kind}, not a NumPy array")
        expect(found.shape == right.shape, f"{given} the shape is {found.shape}, not {right.shape}")
        expect(found.dtype == np.float32, f"the array is {found.dtype}; the file takes float32")
        worst = np.unravel_index(np.abs(found - right).argmax(), right.shape)
        expect(
            np.allclose(found, right, atol=1e-5),
            f"{given} channel {worst[1]} of the pixel in row {worst[2]}, column {worst[3]} is "
            f"{found[worst]:.4g}, not {right[worst]:.4g}",
        )
    return "pictures of four shapes, square and not"
