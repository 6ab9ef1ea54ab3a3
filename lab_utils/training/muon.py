"""Muon for convolution filters, through PyTorch's own Muon, beside an optimiser of the rest."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class FilterMuon(torch.optim.Muon):
    """``torch.optim.Muon`` for convolution filters, each taken as the matrix (out, in * h * w).

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces each update by the
    nearest semi-orthogonal matrix. PyTorch's optimiser serves matrices only; this one hands it
    two-dimensional views that share the filters' memory.

    ``filters`` are parameters (out, in, h, w), each followed by a batch norm, dense in memory as
    contiguous or channels last; move and lay out the model before, and leave it so. Before each
    update a filter is scaled to the norm of an orthogonal matrix, ``sqrt(out)``: the batch norm
    hides its scale, and ``lr`` keeps one meaning throughout the training. Three Newton-Schulz
    steps serve filters as well as PyTorch's five.

    Raises ValueError for a parameter that is not four-dimensional, or dense in neither layout.
    """

    def __init__(
        self, filters: Iterable[Tensor], lr: float, momentum: float = 0.6, ns_steps: int = 3
    ) -> None:
        self.filters = list(filters)
        self.layouts = [_layout(filters) for filters in self.filters]
        pairs = zip(self.filters, self.layouts, strict=True)
        views = [_matrix(filters.detach(), layout) for filters, layout in pairs]
        super().__init__(views, lr=lr, weight_decay=0.0, momentum=momentum, ns_steps=ns_steps)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every filter that has a gradient; return the closure's loss, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        views = self.param_groups[0]["params"]
        for filters, view, layout in zip(self.filters, views, self.layouts, strict=True):
            view.grad = None if filters.grad is None else _matrix(filters.grad, layout)
            if view.grad is not None:
                view.mul_(len(view) ** 0.5 / view.norm())
        super().step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the filters, and so those of the views."""
        super().zero_grad(set_to_none)
        for filters in self.filters:
            if set_to_none:
                filters.grad = None
            elif filters.grad is not None:
                filters.grad.zero_()


def _layout(filters: Tensor) -> torch.memory_format:
    if filters.ndim != 4:
        raise ValueError(f"filters have shape (out, in, h, w), not {tuple(filters.shape)}")
    for layout in (torch.channels_last, torch.contiguous_format):
        if filters.is_contiguous(memory_format=layout):
            return layout
    raise ValueError("filters must be contiguous or channels last in memory")


def _matrix(filters: Tensor, layout: torch.memory_format) -> Tensor:
    # Any order of the columns serves, as long as it is always the same; this one is a view.
    return (filters.movedim(1, -1) if layout is torch.channels_last else filters).flatten(1)


class Together(Optimizer):
    """Several optimisers that step as one; schedules see all of their parameter groups."""

    def __init__(self, *optimizers: Optimizer) -> None:
        # The groups are the optimisers' own dictionaries: a changed lr reaches them.
        super().__init__([group for o in optimizers for group in o.param_groups], {})
        self.optimizers = optimizers

    def step(self, closure: None = None) -> None:
        """One step of each."""
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all their parameters."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Their states, in order."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put each back into its state."""
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        self.param_groups = [group for o in self.optimizers for group in o.param_groups]
