"""What a network costs and what it sees: parameters, bytes, FLOPs and receptive field by layer.

Every function leaves the model as it was. ``image_size`` is the side in pixels of the square RGB
image, (1, 3, S, S), that the model is built for.
"""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from lab_utils import LabError


@dataclass(frozen=True)
class Layer:
    """A ``torch.nn`` module that runs, and what it does to one image."""

    name: str  # its path in the model
    type: str
    output_shape: list[int]  # without the batch
    parameters: int  # 0 where the module runs again
    flops: int  # as ``count_flops`` has them
    receptive_field: int | None  # pixels a side; None once flattening or pooling has seen all


@dataclass(frozen=True)
class Costs:
    """A row of notebook 03's comparison of networks."""

    name: str
    parameters: int
    flops: int  # of one image
    weight_bytes: int
    receptive_field: int  # pixels a side
    step_ms: float  # a training step of 32 images, in milliseconds
    inference_ms: float  # the forward pass of 32 images, in milliseconds


@dataclass(frozen=True)
class TwinCosts(Costs):
    """The costs of one of two networks that take turns: also for 1 and 128 images."""

    inference_ms_1: float
    inference_ms_128: float


def count_parameters(model: nn.Module) -> int:
    """The number of parameters, frozen ones included; BatchNorm's running statistics are none."""
    return sum(parameter.numel() for parameter in model.parameters())


def weight_bytes(model: nn.Module) -> int:
    """The bytes of all tensors of the state dict, running statistics included."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())


def count_flops(model: nn.Module, image_size: int = 32) -> int:
    """Floating-point operations of one image's forward pass, by torch's own counter.

    A multiply-add is two. Convolutions and matrix products count; biases, BatchNorm, ReLU and
    pooling do not.
    """
    model, image = _without_data(model, image_size)
    with FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops()


def receptive_field(model: nn.Module, image_size: int = 32) -> int:
    """The largest one in ``layer_table``: that of the last feature map."""
    return max(layer.receptive_field or 0 for layer in layer_table(model, image_size))


def layer_table(model: nn.Module, image_size: int = 32) -> list[Layer]:
    """The layers of ``model`` in order of execution.

    The receptive field is not clipped by the image. A layer with kernel k, dilation d and stride s
    adds (k - 1) d times the distance between two of its inputs, and makes that distance s times
    longer (Araujo et al. 2019, doi:10.23915/distill.00021); where branches meet, the widest counts.
    Raises LabError where the forward pass cannot be traced or followed.
    """
    model, image = _without_data(model, image_size)
    try:
        walk = _Walk(fx.symbolic_trace(model))
    except fx.proxy.TraceError as error:
        raise LabError(f"torch.fx cannot trace the model's forward pass: {error}.") from None
    with walk.counter:
        walk.run(image)
    return walk.layers


class _View(NamedTuple):
    field: int  # the side of what one unit of a map sees of the image, in pixels
    step: int  # how far apart two neighbours' fields lie, in pixels
    size: torch.Size  # of the map: height and width


class _Walk(fx.Interpreter):
    """Runs a traced model step by step and notes what each step costs and sees."""

    def __init__(self, model: fx.GraphModule):
        super().__init__(model)
        self.counter = FlopCounterMode(display=False)
        self.layers: list[Layer] = []
        self.views: dict[fx.Node, _View | None] = {}  # None: the whole image

    def run_node(self, node: fx.Node) -> Any:
        flops_before = self.counter.get_total_flops()
        out = super().run_node(node)
        if not isinstance(out, Tensor) or node.op in ("get_attr", "output"):
            return out
        module = self.submodules.get(node.target) if node.op == "call_module" else None
        view = self.views[node] = self._view(node, module, out.shape)
        if module:
            known = any(layer.name == node.target for layer in self.layers)
            flops = self.counter.get_total_flops() - flops_before
            costs = 0 if known else count_parameters(module), flops, view.field if view else None
            shape = list(out.shape[1:])
            self.layers.append(Layer(node.target, type(module).__name__, shape, *costs))
        return out

    def _view(self, node: fx.Node, module: nn.Module | None, shape: torch.Size) -> _View | None:
        if node.op == "placeholder":
            return _View(field=1, step=1, size=shape[2:])
        sources = [self.views[n] for n in node.all_input_nodes if n in self.views]
        pooled = isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
        if None in sources or len(shape) != 4 or pooled:
            return None
        field = max(source.field for source in sources)
        step = max(source.step for source in sources)
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, stride = _side(module.kernel_size), _side(module.stride)
            field += (kernel - 1) * _side(getattr(module, "dilation", 1)) * step
            step *= stride
        elif any(source.size != shape[2:] for source in sources):
            raise LabError(
                f"The receptive field cannot be followed through {node.target!r}, which changes "
                "the size of the map; use nn.Conv2d, nn.MaxPool2d or nn.AvgPool2d there."
            )
        return _View(field, step, shape[2:])


def _without_data(model: nn.Module, image_size: int) -> tuple[nn.Module, Tensor]:
    """A copy in evaluation mode and one image, on the meta device, where nothing is computed."""
    dtype = next(model.parameters()).dtype
    image = torch.empty(1, 3, image_size, image_size, dtype=dtype, device="meta")
    return copy.deepcopy(model).to("meta").eval(), image


def _side(size: int | tuple[int, ...]) -> int:
    sides = set(size) if isinstance(size, tuple) else {size}
    if len(sides) > 1:
        raise LabError(f"The receptive field is followed through square kernels only, not {size}.")
    return sides.pop()
