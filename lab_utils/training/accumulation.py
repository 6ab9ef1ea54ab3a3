"""Several batches to one step, and a loss whose gradient is not that of its value."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from lab_utils.core.settings import Settings


class Accumulation:
    """An optimiser that steps once for every ``accumulate`` batches, on the sum of their gradients.

    Of the batches left at the end of an epoch of ``images`` it makes one step, however few they
    are. Whoever minimises each batch's mean loss times ``share()`` gets the gradient of the mean
    over all images of the step.
    """

    def __init__(self, optimizer: Optimizer, images: int, settings: Settings) -> None:
        self.optimizer, self.images = optimizer, images
        self.size, self.together = settings.batch_size, settings.accumulate
        self.done = 0  # batches of this epoch

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of the optimiser, which loading a state replaces."""
        return self.optimizer.param_groups

    def share(self) -> float:
        """The share that the current batch has of the images of its step."""
        first = self.done - self.done % self.together
        step = min(self.images, (first + self.together) * self.size) - first * self.size
        return min(self.size, self.images - self.done * self.size) / step

    def zero_grad(self) -> None:
        """Clear the gradients before the first batch of a step."""
        if self.done % self.together == 0:
            self.optimizer.zero_grad()

    def step(self) -> None:
        """Count a batch; after the last one of a step, or of the epoch, update the weights."""
        self.done += 1
        batches = -(-self.images // self.size)
        if self.done % self.together == 0 or self.done == batches:
            self.optimizer.step()
        self.done %= batches


class Objective:
    """A loss whose value is the plain cross-entropy, and whose gradient is of what is minimised.

    So the curves of every recipe can be compared. ``share()`` is the batch's share of the images of
    one optimiser step: gradients of several batches then add up to that of one large batch.
    """

    def __init__(self, label_smoothing: float, share: Callable[[], float]) -> None:
        self.label_smoothing, self.share = label_smoothing, share

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        plain = cross_entropy(logits, targets)
        minimised = plain
        if self.label_smoothing:
            minimised = cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        zero_with_its_gradient = minimised - minimised.detach()
        return plain.detach() + self.share() * zero_with_its_gradient
