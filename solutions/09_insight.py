"""Solution of the exercise in notebook 09."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def fgsm(
    model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, epsilon: float
) -> Tensor:
    """Were the loss linear in the pixels, no other change of at most epsilon would raise it more.

    The gradient is asked for the images alone: ``loss.backward()`` would also fill that of every
    parameter. The last step takes back what is darker than black or brighter than white.
    """
    images = images.clone().requires_grad_()
    loss = cross_entropy(model(images), targets)
    (gradient,) = torch.autograd.grad(loss, images)
    return (images.detach() + epsilon * gradient.sign()).clamp(0, 1)
