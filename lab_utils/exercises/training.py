"""The exercises of notebook 04: the loop, the validation, and what curves say."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lab_utils.exercises.exercise import call, exercise, expect
from lab_utils.model.predict import accuracy
from lab_utils.training.loop import Batch, train_epoch

SIGNS = {  # the curves of the notebook: what each shows, and where to look
    "a": ("overfitting", "training loss falls to the end; what does validation loss do?"),
    "b": ("underfitting", "both losses level off, still near guessing, 2.30"),
    "c": ("learning rate too large", "both losses jump up and down and stay above guessing, 2.30"),
    "d": ("healthy", "both losses fall and level off; dropout explains which one is lower"),
}


def _batches(*sizes: int) -> list[Batch]:
    draw = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 4, generator=draw), torch.arange(n) % 3) for n in sizes]


def _network() -> nn.Module:
    """A small network, in evaluation mode, whose logits depend on its mode."""
    with torch.random.fork_rng(devices=[]):  # new layers draw
        network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    draw = torch.Generator().manual_seed(1)
    for weights in network.parameters():
        nn.init.normal_(weights, generator=draw)
    return network.eval()


def _trained(loop: Callable[..., Any], *sizes: int) -> tuple[Any, dict[str, Tensor]]:
    """What ``loop`` returns, and the weights it ends with."""
    network = _network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    smoothed = partial(cross_entropy, label_smoothing=0.3)
    return loop(network, _batches(*sizes), smoothed, optimizer), network.state_dict()


def _expect_means(found: Any, right: tuple[float, float], given: str) -> None:
    pair = isinstance(found, tuple | list) and len(found) == 2
    expect(pair, f"{given} it gives {found}, not two numbers, mean loss and accuracy")
    for what, number, theirs in zip(("mean loss", "accuracy"), found, right, strict=True):
        mine = torch.as_tensor(number).item()
        off = f"{given} the {what} is {mine:.4f}, not {theirs:.4f}; does every image count once?"
        expect(abs(mine - theirs) < 1e-4, off)


@exercise
def my_train_epoch(answer: Callable[..., tuple[float, float]]) -> str:
    """As the library's loop: the weights after one step and after three, mean loss, accuracy."""
    first = "in training mode, with the loss given, and is the optimiser's step taken?"
    for sizes, asked in (((8,), first), ((8, 8, 3), "with the gradients cleared in each step?")):
        found, weights = _trained(partial(call, answer), *sizes)
        right, reference = _trained(train_epoch, *sizes)
        given = f"for batches of {' + '.join(map(str, sizes))} images"
        same = all(torch.allclose(weights[key], reference[key], atol=1e-5) for key in reference)
        expect(same, f"{given} the weights differ from those of the library's loop: is it {asked}")
        _expect_means(found, right, given)
    return "the library's loop gives the same weights, loss and accuracy"


class _Watched(nn.Module):
    """A network that notes whether it computed in training mode, and whether for gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.trained, self.graph = _network(), False, False

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.network(inputs)
        self.trained, self.graph = self.trained | self.training, self.graph | logits.requires_grad
        return logits


@exercise
def my_validate(answer: Callable[..., tuple[float, float]]) -> str:
    """Mean cross-entropy and accuracy in evaluation mode; the model is left as it was."""
    for sizes, mode in (((8,), True), ((8, 8, 3), True), ((8, 8, 3), False)):
        batches, model = _batches(*sizes), _Watched().train(mode)
        inputs, targets = map(torch.cat, zip(*batches, strict=True))
        with torch.enable_grad():  # and as it was again, whatever the answer leaves
            found, on = call(answer, model, batches), torch.is_grad_enabled()
        given = f"for batches of {' + '.join(map(str, sizes))} images"
        expect(not model.trained, f"{given} the model computes in training mode")
        kept = model.graph or any(p.grad is not None for p in model.parameters())
        expect(not kept, f"{given} the forward pass keeps what gradients need; use torch.no_grad")
        expect(on, f"{given} it switches gradients off for good, and no training can follow")
        words = ("evaluation", "training")[mode]
        expect(model.training == mode, f"{given} it does not put a model back in {words} mode")
        logits = _network()(inputs)
        right = cross_entropy(logits, targets).item(), accuracy(logits, targets)
        _expect_means(found, right, given)
    return "the library gives the same; no gradients, and the model is in its mode again"


@exercise
def diagnosis(answer: Mapping[str, str]) -> str:
    """What each of the curves in the notebook shows."""
    expect(isinstance(answer, Mapping), 'give a dictionary: {"a": "overfitting", "b": ...}')
    for curve, (sign, look) in SIGNS.items():
        found = answer.get(curve)
        expect(found is not None, f'curve "{curve}" has no name yet: {look}')
        expect(found == sign, f'curve "{curve}" does not show {found!r}: {look}')
    return "all four; with a name, each has its mend"
