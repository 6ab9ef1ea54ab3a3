"""Solutions of the exercises in notebook 02."""

import torch
from torch import Tensor


def stratified_split(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Shuffle the images of each class, and cut the share off each.

    The generator is the split's own: nothing else that draws random numbers can change the split.
    """
    generator = torch.Generator().manual_seed(seed)
    train, val = [], []
    for label in targets.unique():
        members = (targets == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        held_out = round(fraction * len(members))
        val.append(members[:held_out])
        train.append(members[held_out:])
    return torch.cat(train), torch.cat(val)


def crop_one(image: Tensor, top: int, left: int, padding: int) -> Tensor:
    """Lay the image into a black one with the border around it, and cut the window out."""
    _, height, width = image.shape
    bordered = torch.nn.functional.pad(image, (padding,) * 4)
    return bordered[:, top : top + height, left : left + width]
