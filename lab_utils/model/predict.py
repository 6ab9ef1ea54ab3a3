"""Logits of a model over a whole split, how many are right, and what single layers give out."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Normalization, Split
from lab_utils.setup.hardware import Machine


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Batches, machine: Machine, tta: str = "none"
) -> tuple[Tensor, Tensor]:
    """Logits (N, K) float32 and targets (N,) int64, on the CPU, in the order of ``batches``.

    ``tta`` (test-time augmentation) averages each image's logits over several views of it, see
    views.py. The model runs in evaluation mode and is put back as it was.
    """
    look: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__
    if tta != "none":
        from lab_utils.model.views import VIEWS

        look = VIEWS[tta]
    training = model.training
    model.eval()
    logits, targets = [], []
    for inputs, batch_targets in batches:
        with machine.autocast():
            logits.append(look(model, inputs).float())
        targets.append(batch_targets)
    model.train(training)
    return torch.cat(logits).cpu(), torch.cat(targets).cpu()


def first_batch(
    split: Split, count: int, normalization: Normalization, machine: Machine
) -> tuple[Tensor, Tensor]:
    """The first ``count`` images (B, 3, H, W) of ``split``, normalised, and targets, for a model.

    There are fewer where the split has fewer.
    """
    few = Split(split.images[:count], split.targets[:count])
    return next(iter(Batches(few, count, normalization, machine.device)))


@torch.inference_mode()
def layer_outputs(model: nn.Module, inputs: Tensor, paths: Iterable[str]) -> dict[str, np.ndarray]:
    """What the layers at ``paths`` of ``model`` give out for the first of ``inputs``, float32.

    PyTorch calls a *forward hook* of a layer after each of its forward passes, with its output. The
    model runs in evaluation mode and is put back as it was.
    """
    outputs: dict[str, np.ndarray] = {}

    def keep(path: str) -> Callable[..., None]:
        def hook(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
            outputs[path] = output[0].float().cpu().numpy()

        return hook

    hooks = [model.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
    training = model.training
    model.eval()(inputs[:1])
    model.train(training)
    for hook in hooks:
        hook.remove()
    return outputs


def count_correct(logits: Tensor, targets: Tensor) -> Tensor:
    """For how many of N samples the largest of (N, K) logits is the target: an int64 scalar.

    ``targets`` are classes (N,), or (N, K) shares of which the largest counts.
    """
    classes = targets if targets.ndim == 1 else targets.argmax(1)
    return (logits.argmax(1) == classes).sum()


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Share of N samples that are right: each counts once, whatever the batch size was."""
    return count_correct(logits, targets).item() / len(targets)
