"""Whether a training step fits into memory, told before it is tried."""

from math import log2

import psutil
import torch
from torch import Tensor, nn

from lab_utils.core.settings import Settings
from lab_utils.core.show import Notice
from lab_utils.setup.hardware import Machine


def memory_notice(needed: float, settings: Settings, machine: Machine) -> Notice:
    """What a step needs (MB) and what is free; loud, with a batch size that fits, if it is much."""
    device = machine.device
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    free /= 1e6
    fitting = 2 ** int(log2(max(1, settings.batch_size * 0.8 * free / needed)))
    loud = f"One step may not fit; set batch_size = {fitting} in the first code cell."
    return Notice(
        f"One step at batch_size={settings.batch_size} needs about {needed:,.0f} MB beyond the "
        f"images; {free:,.0f} MB are free on {device.type}.",
        loud if needed > 0.8 * free else "",
    )


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
            _output = model(inputs)  # alive until counted, so that no storage is used twice
        return sum(count for key, count in kept.items() if key not in parameters)

    state = {key: value.clone() for key, value in model.state_dict().items()}
    two, four = kept_bytes(2), kept_bytes(4)
    model.load_state_dict(state)  # the running statistics of BatchNorm have moved
    per_image, copies = (four - two) / 2, 5 if settings.ema_decay else 4
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return (per_image * settings.batch_size + two - 2 * per_image + copies * weights) / 1e6
