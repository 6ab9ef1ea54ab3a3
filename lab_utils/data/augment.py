"""Random rotation and colour jitter of a whole batch, a draw for every image; MixUp and CutMix.

Each operation is torchvision's of that name, without a loop over images.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate


def distort(
    images: Tensor, rotation: float, jitter: Sequence[float], generator: torch.Generator
) -> Tensor:
    """``images`` (B, 3, H, W) uint8, each rotated and then jittered at random; uint8 again.

    ``rotation`` is the largest angle in degrees to either side (``RandomRotation``), ``jitter`` how
    far each of ``ADJUSTMENTS`` strays from doing nothing (``ColorJitter``). These come in random
    order, a new one for each batch. ``generator`` is on the CPU, whatever the device.
    """

    def draw(middle: float, reach: float) -> Tensor:
        """(B,) values, uniform within ``reach`` of ``middle``, on the device of the images."""
        values = middle + reach * (2 * torch.rand(len(images), generator=generator) - 1)
        return values.to(images.device)

    inputs = images / 255
    if rotation:
        inputs = rotate(inputs, draw(0, rotation))
    order = torch.randperm(4, generator=generator).tolist() if any(jitter) else []
    for kind in (kind for kind in order if jitter[kind]):
        middle = 0 if ADJUSTMENTS[kind] is shift_hue else 1
        inputs = ADJUSTMENTS[kind](inputs, draw(middle, jitter[kind]))
    return (inputs * 255).round_().to(torch.uint8)


def scaled(images: Tensor, side: int) -> Tensor:
    """Square ``images`` (B, C, S, S) uint8 at ``side`` pixels a side; a float where on a GPU.

    Small images first are Howard's, for DAWNBench (https://www.fast.ai/posts/2018-04-30-dawnbench-fastai.html).
    """
    if side == images.shape[-1]:
        return images
    if images.device.type != "cpu":  # torch scales whole numbers on the CPU alone
        images = images.float()
    return interpolate(images, (side, side), mode="bilinear", antialias=True)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Square ``images`` (B, C, S, S), float, each counter-clockwise by its own of ``degrees`` (B,).

    About the centre, at the old size; a pixel takes the nearest one's value, or 0 from outside.
    """
    cos, sin, zero = degrees.deg2rad().cos(), degrees.deg2rad().sin(), torch.zeros_like(degrees)
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, "nearest", "zeros", align_corners=False)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """``images`` (B, 3, H, W) between 0 and 1, each times its own of ``factors`` (B,)."""
    return (images * factors.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Each image moved away from its mean grey, or towards it where the factor is below 1."""
    middle = gray(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(middle, images, factors.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Each pixel moved away from its own grey, or towards it where the factor is below 1."""
    return torch.lerp(gray(images), images, factors.view(-1, 1, 1, 1)).clamp_(0, 1)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """``images`` (B, 3, H, W) between 0 and 1, hues turned by ``turns`` (B,) of the colour circle.

    Value and saturation of the HSV model stay as they are.
    """
    red, green, blue = images.unbind(1)
    value, spread = images.amax(1), images.amax(1) - images.amin(1)
    step = spread.clamp(min=1e-9)  # a grey pixel has no hue, and gets its own grey back below
    hue = torch.where(
        value == red,
        (green - blue) / step,  # within one of six sectors around red; the circle closes at 6
        torch.where(value == green, (blue - red) / step + 2, (red - green) / step + 4),
    )
    hue = hue + 6 * turns.view(-1, 1, 1)
    # A channel is at the value near its own hue, `spread` below opposite, linear between.
    distances = torch.stack([(hue + n).remainder_(6) for n in (5, 3, 1)], 1)
    ramp = torch.minimum(distances, 4 - distances).clamp_(0, 1)
    return value[:, None] - spread[:, None] * ramp


def gray(images: Tensor) -> Tensor:
    """The luma (B, 1, H, W) of RGB ``images`` (B, 3, H, W), weighted as ITU-R BT.601 says."""
    red, green, blue = images.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


ADJUSTMENTS = (adjust_brightness, adjust_contrast, adjust_saturation, shift_hue)


def mixing(
    mixup: float, cutmix: float, classes: int
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A function that mixes the images of a batch in pairs; one alpha or both are above zero.

    It takes inputs (B, C, H, W) and targets (B,) int64, and gives inputs and targets (B, classes)
    float: the shares of the two images, which sum to one. MixUp (arXiv:1710.09412) adds the images
    up, CutMix (arXiv:1905.04899) puts a rectangle of one into the other; where both are on, chance
    decides for each batch. One share for the whole batch, from Beta(alpha, alpha); drawn from
    torch's global generator, as dropout is.
    """
    from torchvision.transforms import v2  # slow to load

    kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
    ways = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha]
    return v2.RandomChoice(ways) if len(ways) > 1 else ways[0]
