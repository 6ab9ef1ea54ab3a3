"""Operators of a profile, by kind: what people call them, and the share of the time they take."""

from collections import Counter
from collections.abc import Iterable
import re

import torch
from torch.autograd.profiler_util import FunctionEvent

BATCH, OPTIMIZER, COPIES, OTHER = "making the batch", "optimiser", "copies, conversions", "other"
# The first pattern that is found in the name of an operator, or of the one that called it.
OPERATORS = {
    "convolution, backward": "conv.*backward",
    "convolution, forward": "conv",
    "batch norm": "batch_?norm",
    "pooling": "pool",
    "linear layers": "linear|addmm|::mm",
    "loss": "softmax|loss|crossentropy",
    # dropout, residual sums and the running loss among them
    "activations, sums": "relu|elu|threshold|clamp|dropout|bernoulli|add|mul|div|argmax|::eq|::sum",
}


def operator_shares(
    events: Iterable[FunctionEvent], seconds: float, cuda: bool
) -> dict[str, float]:
    """The share of ``seconds`` that each kind of operator takes, largest first; they sum to 1.

    The time of an event is its own, without that of what it calls: on the processor, or with
    ``cuda`` in the GPU's kernels. What no event took is Python's, or the GPU's waiting.
    """
    spent: Counter[str] = Counter()
    for event in events:
        if event.device_type == torch.autograd.DeviceType.CPU:
            own = event.self_device_time_total if cuda else event.self_cpu_time_total
            spent[_kind(event)] += own / 1e6
    spent["GPU waits" if cuda else "Python"] = max(0.0, seconds - spent.total())
    return {name: own / spent.total() for name, own in spent.most_common()}


def _kind(event: FunctionEvent) -> str:
    """The kind of an operator, by its own name or that of the nearest caller which tells it."""
    names = []
    while event is not None:
        names.append(event.name.lower())
        event = event.cpu_parent
    if BATCH in names:
        return BATCH
    if any(name.startswith("optimizer.") for name in names):
        return OPTIMIZER
    if re.search("::(copy_|_?to|_to_copy|contiguous|clone)$", names[0]):
        return COPIES
    told = (kind for name in names for kind, word in OPERATORS.items() if re.search(word, name))
    return next(told, OTHER)
