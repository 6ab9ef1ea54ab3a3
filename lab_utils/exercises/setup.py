"""The exercises of notebook 01: a loss and a gradient, written by hand."""

from collections.abc import Callable
from math import isclose, isfinite

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def absolute_gradient(answer: Callable[..., tuple[Tensor, Tensor]]) -> str:
    """The derivatives of abs(w x + b - y) with respect to w and b."""
    cases = (  # w, b, x, y: errors above, below and at zero, a negative x, and x = 0
        (2.0, -1.0, 3.0, 4.0), (2.0, -1.0, 3.0, 9.0), (2.0, -1.0, -3.0, 4.0),
        (2.0, -1.0, 3.0, 5.0), (2.0, -1.0, 0.0, -3.0),
    )  # fmt: skip
    for case in cases:
        found = call(answer, *(torch.tensor(number) for number in case))
        given = "for w, b, x, y = " + ", ".join(f"{number:g}" for number in case)
        pair = isinstance(found, tuple | list) and len(found) == 2
        expect(pair, f"{given} it gives {found}, not two numbers, dL/dw and dL/db")
        w, b, x, y = (torch.tensor(number, requires_grad=True) for number in case)
        error = w * x + b - y
        right = torch.autograd.grad(error.abs(), (w, b))
        for name, mine, theirs in zip(("dL/dw", "dL/db"), found, right, strict=True):
            expect(
                isclose(mine, theirs, rel_tol=1e-6),
                f"{given} the error is {error:g}, and {name} comes out as {float(mine):g}, "
                f"not {theirs:g}",
            )
    return "autograd agrees, where the error is above, below and at zero"


@exercise
def softmax_cross_entropy(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """The mean over the batch of -ln p of the true class."""
    cases = (  # logits, targets
        ([[2.0, 0.5, -1.0]], [0]),
        ([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0]], [0, 2]),
        ([[1.0, -2.0], [0.5, 3.0], [-1.0, -1.5]], [1, 1, 0]),
        ([[1000.0, 999.0, 0.0]], [1]),
        ([[1000.0, 0.0], [-1000.0, -1001.0]], [1, 0]),
    )
    for logits, targets in cases:
        given = f"for logits {logits} and targets {targets}"
        inputs = torch.tensor(logits), torch.tensor(targets)
        found = torch.as_tensor(call(answer, *(tensor.clone() for tensor in inputs)))
        count = found.numel()
        expect(count == 1, f"{given} it gives {count} numbers, not one, their mean")
        loss, right = found.item(), cross_entropy(*inputs).item()
        why = "" if isfinite(loss) else "; some exponential is too large, or 0, in float32"
        good = isclose(loss, right, rel_tol=1e-5, abs_tol=1e-6)
        expect(good, f"{given} it gives {loss:.4f}, not {right:.4f}{why}")
    return "PyTorch gives the same, for logits of 1000 too"
