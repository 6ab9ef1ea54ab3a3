"""Solutions of the exercises in notebook 04."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def my_train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
) -> tuple[float, float]:
    """Forward, loss, backward, update, for each batch; sums over images, divided at the end.

    The loss of a batch is a mean; times the number of its images it is a sum again, so that every
    image counts once. ``detach`` drops the graph of the step, or all of them would stay in memory.
    """
    model.train()
    loss_sum, correct, images = 0.0, 0, 0
    for inputs, targets in batches:
        logits = model(inputs)
        loss = loss_function(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(targets)
        correct += (logits.argmax(1) == targets).sum()
        images += len(targets)
    return float(loss_sum) / images, float(correct) / images


def my_validate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Evaluation mode, no gradients, sums over images; then the mode that was found before."""
    training = model.training
    model.eval()
    loss_sum, correct, images = 0.0, 0, 0
    with torch.no_grad():
        for inputs, targets in batches:
            logits = model(inputs)
            loss_sum += cross_entropy(logits, targets, reduction="sum")
            correct += (logits.argmax(1) == targets).sum()
            images += len(targets)
    model.train(training)
    return float(loss_sum) / images, float(correct) / images


# What tells them apart is where the losses end, and whether both go the same way.
diagnosis = {
    "a": "overfitting",  # training loss falls, validation loss turns and rises
    "b": "underfitting",  # both level off, hardly below guessing
    "c": "learning rate too large",  # both jump, neither gets below guessing
    "d": "healthy",  # both fall and level off; dropout raises the training loss
}
