"""Test-time augmentation: an image's logits averaged over views of it that show the same thing.

Each function takes a model and inputs (B, 3, H, W) and returns logits (B, K) float32.
"""

from math import log

from torch import Tensor, nn
from torch.nn.functional import pad


def flip(model: nn.Module, inputs: Tensor) -> Tensor:
    """The mean over an image and its mirror image."""
    return (model(inputs).float() + model(inputs.flip(-1)).float()) / 2


def flip_shift(model: nn.Module, inputs: Tensor) -> Tensor:
    """Half of that, and half of that over two shifts by a pixel: six views."""
    padded = pad(inputs, (1,) * 4, mode="reflect")
    shifted = flip(model, padded[..., :-2, :-2]) + flip(model, padded[..., 2:, 2:])
    return flip(model, inputs) / 2 + shifted / 4


def unsure(model: nn.Module, inputs: Tensor) -> Tensor:
    """Six views of those images whose second class is more than half as likely as the first.

    Where one class is far ahead the other views seldom change the answer.
    """
    logits = model(inputs).float()
    first, second = logits.topk(2).values.unbind(1)
    close = first - second < log(2)
    if not close.any():
        return logits
    return logits.index_put((close,), flip_shift(model, inputs[close]))


VIEWS = {"flip": flip, "flip_shift": flip_shift, "unsure": unsure}
