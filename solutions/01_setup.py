"""Solutions of the exercises in notebook 01."""

import torch
from torch import Tensor


def absolute_gradient(w: Tensor, b: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The derivative of abs is the sign of what is inside; the chain rule multiplies by x for w.

    At zero abs has a corner and no derivative. PyTorch takes 0, which lies between the -1 and 1 of
    the two sides, so that a perfect answer is not moved.
    """
    sign = torch.sign(w * x + b - y)
    return sign * x, sign


def softmax_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The logarithm of softmax is z_k - ln sum e^z, so no probability needs to be computed.

    Subtracting the largest logit first changes no probability, and no exponential exceeds 1.
    """
    shifted = logits - logits.max(dim=1, keepdim=True).values
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    return -log_p[torch.arange(len(targets)), targets].mean()
