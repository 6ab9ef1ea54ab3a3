"""Notebook 04: whether a training step fits into memory, told before it is tried."""

from lab_utils.hardware import Machine
from lab_utils.settings import Settings
import torch
from torch import Tensor, nn


def step_memory_mb(model: nn.Module, settings: Settings, machine: Machine, size: int) -> float:
    """Estimated memory of one training step in MB (10^6 bytes), beyond the data set.

    What autograd keeps for the backward pass is counted on two and on four images; the difference
    scales with the batch, the rest (bfloat16 copies of the weights) does not. Parameters count four
    times: weights, gradients, two optimiser moments; five with a running average of the weights.
    The model comes back as it was.
    """
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    device = next(model.parameters()).device

    def kept_bytes(images: int) -> int:
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        inputs = torch.zeros(images, 3, size, size, device=device)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), machine.autocast():
            output = model(inputs)  # alive until counted, so that no storage is used twice
        total = sum(b for key, b in kept.items() if key not in parameters)
        del output
        return total

    state = {key: value.clone() for key, value in model.state_dict().items()}
    two, four = kept_bytes(2), kept_bytes(4)
    model.load_state_dict(state)  # the running statistics of BatchNorm have moved
    per_image = (four - two) / 2
    copies = 5 if settings.ema_decay else 4
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return (per_image * settings.batch_size + two - 2 * per_image + copies * weights) / 1e6
