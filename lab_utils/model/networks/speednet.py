"""SpeedNet: a network built to learn CIFAR-sized images in little time."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, unfold


class SpeedNet(nn.Module):
    """Fixed whitening convolution, three groups of two 3x3 convolutions, linear head.

    The design is airbench's (Jordan 2024, arXiv:2404.00498): patch-whitening filters set from the
    data and not learned, pooling before batch norm, batch norm without a scale, filters that start
    as a partial identity, logits scaled down. Here the whitening layer has no bias, so that nothing
    before the first learned filter needs a gradient.

    ``widths`` are the output channels of the groups; ``whitening_stride`` 2 quarters the work of
    everything after the first layer.
    """

    def __init__(
        self,
        num_classes: int = 10,
        widths: Sequence[int] = (64, 256, 256),
        whitening_stride: int = 1,
    ) -> None:
        super().__init__()
        channels = [24, *widths]  # one filter of either sign for each of a 2x2 patch's 12 numbers
        self.whiten = nn.Conv2d(3, 24, 2, stride=whitening_stride, bias=False)
        self.whiten.requires_grad_(False)
        self.groups = nn.Sequential(*(group(*pair) for pair in pairwise(channels)))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(channels[-1], num_classes, bias=False)
        nn.init.normal_(self.head.weight)

    @torch.no_grad()
    def init_whitening(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer so that its outputs over patches of ``images`` are uncorrelated.

        ``images`` is (N, 3, H, W) float32, normalised; some thousands suffice. ``eps`` is added to
        each eigenvalue, so that directions of almost no variance are not blown up.
        """
        patches = unfold(images, 2, stride=2).mT.flatten(0, 1)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + eps).sqrt()).T.unflatten(1, (3, 2, 2))
        # Both signs of each filter, so that the activation loses neither half.
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.groups(gelu(self.whiten(images)))
        # Head weights of variance one: dividing by their number keeps the first logits small.
        return self.head(self.pool(maps).flatten(1)) / self.head.in_features


def group(channels_in: int, channels_out: int) -> nn.Sequential:
    """(B, C_in, S, S) to (B, C_out, S / 2, S / 2)."""
    inputs = (channels_in, channels_out)
    convs = [nn.Conv2d(n, channels_out, 3, padding=1, bias=False) for n in inputs]
    # momentum is the weight of the newest batch: trainings of a thousand steps need a large one.
    norms = [nn.BatchNorm2d(channels_out, eps=1e-12, momentum=0.4) for _ in convs]
    for conv, norm in zip(convs, norms, strict=True):
        nn.init.dirac_(conv.weight.detach()[: conv.in_channels])  # these pass their input through
        norm.weight.requires_grad_(False)
    # Pooling first leaves norm and activation a quarter of the work.
    first = convs[0], nn.MaxPool2d(2), norms[0], nn.GELU()
    return nn.Sequential(*first, convs[1], norms[1], nn.GELU())
