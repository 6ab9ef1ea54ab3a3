"""The two methods: channels taken out of a network, and a loss that has a teacher's answers."""

from collections.abc import Iterable, Iterator
import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from lab_utils.model.networks.simplecnn import SimpleCNN
from lab_utils.setup.hardware import Machine
from lab_utils.training.loop import Batch

TEACHING = 0.9  # share of the loss that is the teacher's; the rest is the labels'


def prune_channels(model: SimpleCNN, share: float) -> SimpleCNN:
    """A copy without that ``share`` of each convolution's channels whose filters are the smallest.

    By the sum of a filter's absolute weights (Li et al., arXiv:1608.08710). The channels are really
    gone: from the convolution, its norm, and what reads them.
    """
    model = copy.deepcopy(model)
    read = torch.arange(3)  # the channels that are left of a layer's input
    for conv, norm in zip(model.features[::4], model.features[1::4], strict=True):
        strength = conv.weight.detach().abs().sum((1, 2, 3))
        kept = strength.topk(round((1 - share) * len(strength))).indices.sort().values
        conv.weight = nn.Parameter(conv.weight.detach()[kept][:, read])
        conv.bias = nn.Parameter(conv.bias.detach()[kept])
        for name in ("weight", "bias"):
            setattr(norm, name, nn.Parameter(getattr(norm, name).detach()[kept]))
        for name in ("running_mean", "running_var"):
            setattr(norm, name, getattr(norm, name)[kept])
        conv.in_channels, conv.out_channels = len(read), len(kept)
        norm.num_features, read = len(kept), kept
    linear, before = model.classifier[1], len(strength)
    by_channel = linear.weight.detach().unflatten(1, (before, -1))  # each has a map of pixels
    linear.weight = nn.Parameter(by_channel[:, read].flatten(1))
    linear.in_features = linear.weight.shape[1]
    return model


class Teaching:
    """A training's batches, and the loss that has a teacher's answer to the last one of them.

    The loss is that of Hinton, Vinyals and Dean (arXiv:1503.02531): the cross-entropy with the
    labels, and with the teacher's probabilities, both networks' logits divided by ``temperature``;
    times its square, because the gradient shrinks with that.
    """

    def __init__(
        self, batches: Iterable[Batch], teacher: nn.Module, machine: Machine, temperature: float
    ) -> None:
        self.batches, self.teacher, self.machine = batches, teacher, machine
        self.temperature = temperature

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for inputs, targets in self.batches:
            with torch.no_grad(), self.machine.autocast():
                self.answer = self.teacher(inputs).float()
            yield inputs, targets

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of the batch yielded last, a scalar."""
        student, teacher = (log_softmax(x / self.temperature, 1) for x in (logits, self.answer))
        apart = kl_div(student, teacher, reduction="batchmean", log_target=True)
        taught = self.temperature**2 * apart
        return TEACHING * taught + (1 - TEACHING) * cross_entropy(logits, targets)
