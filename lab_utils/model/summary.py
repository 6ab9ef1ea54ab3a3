"""What a network costs and what it sees: parameters, bytes, FLOPs and receptive field by layer.

Every function leaves the model as it was. ``image_size`` is the side in pixels of the square RGB
image, (1, 3, S, S), that the model is built for.
"""

from collections.abc import Iterable, Sequence
import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.utils.flop_counter import FlopCounterMode

from lab_utils import LabError


@dataclass(frozen=True)
class Layer:
    """A ``torch.nn`` module that runs, and what it does to one image."""

    name: str  # its path in the model
    type: str
    output_shape: list[int]  # without the batch
    parameters: int  # it and the next are 0 where the module runs again
    flops: int  # as ``count_flops`` has them
    receptive_field: int | None  # pixels a side; None once flattening or pooling has seen all


@dataclass(frozen=True)
class Summary:
    """A whole network: what it costs, and what it does to one image."""

    parameters: int
    flops: int  # of one image
    macs: int  # multiply-adds of one image
    weight_bytes: int
    receptive_field: int  # pixels a side
    image_shape: list[int]  # (3, S, S)
    layers: list[Layer]


def summarize(model: nn.Module, image_size: int = 32) -> Summary:
    """All of the below for ``model``. Raises LabError as ``layer_table``."""
    layers = layer_table(model, image_size)
    flops = count_flops(model, image_size)
    return Summary(
        parameters=count_parameters(model),
        flops=flops,
        macs=flops // 2,
        weight_bytes=weight_bytes(model),
        receptive_field=_widest(layers),
        image_shape=[3, image_size, image_size],
        layers=layers,
    )


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
    return _flops(*_without_data(model, image_size))["Global"]


def receptive_field(model: nn.Module, image_size: int = 32) -> int:
    """The largest one in ``layer_table``: that of the last feature map."""
    return _widest(layer_table(model, image_size))


def _widest(layers: Iterable[Layer]) -> int:
    return max(layer.receptive_field or 0 for layer in layers)


def layer_table(model: nn.Module, image_size: int = 32) -> list[Layer]:
    """The layers of ``model`` in order of execution.

    The receptive field is not clipped by the image. A layer with kernel k, dilation d and stride s
    adds (k - 1) d times the distance between two of its inputs, and makes that distance s times
    longer (Araujo et al. 2019, doi:10.23915/distill.00021); where branches meet, the widest counts,
    and of a filter that is no square the longer side.
    Raises LabError where the forward pass cannot be traced or followed.
    """
    model, image = _without_data(model, image_size)
    try:
        traced = fx.symbolic_trace(model)
    except fx.proxy.TraceError as error:
        raise LabError(f"torch.fx cannot trace the model's forward pass: {error}.") from None
    ShapeProp(traced).propagate(image)  # notes the shape of each step's output in its node
    flops = _flops(model, image)
    layers: list[Layer] = []
    views: dict[fx.Node, _View | None] = {}  # None: the whole image
    for node in traced.graph.nodes:
        meta = node.meta.get("tensor_meta")
        if node.op in ("get_attr", "output") or not isinstance(meta, TensorMetadata):
            continue
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        sources = [views[source] for source in node.all_input_nodes if source in views]
        view = views[node] = _view(node, module, sources, meta.shape)
        if module:
            name, kind, shape = node.target, type(module).__name__, list(meta.shape[1:])
            again = any(layer.name == name for layer in layers)
            costs = (0, 0) if again else (count_parameters(module), flops.get(name, 0))
            layers.append(Layer(name, kind, shape, *costs, view.field if view else None))
    return layers


def activations(layers: Sequence[Layer]) -> tuple[str, list[str]]:
    """The type of layer after which maps are looked at, and the first, middle and last of these."""
    kind = "ReLU" if any(layer.type == "ReLU" for layer in layers) else "BatchNorm2d"
    names = [x.name for x in layers if x.type == kind and len(x.output_shape) == 3]
    return kind, [names[0], names[(len(names) - 1) // 2], names[-1]]


class _View(NamedTuple):
    field: int  # the side of what one unit of a map sees of the image, in pixels
    step: int  # how far apart two neighbours' fields lie, in pixels
    size: torch.Size  # of the map: height and width


def _view(
    node: fx.Node, module: nn.Module | None, sources: list[_View | None], shape: torch.Size
) -> _View | None:
    if node.op == "placeholder":
        return _View(field=1, step=1, size=shape[2:])
    pooled = isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
    if None in sources or len(shape) != 4 or pooled:
        return None
    field = max(source.field for source in sources)
    step = max(source.step for source in sources)
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        names = ("kernel_size", "dilation", "stride")
        kernel, dilation, stride = (int(np.max(getattr(module, name, 1))) for name in names)
        field += (kernel - 1) * dilation * step
        step *= stride
    elif any(source.size != shape[2:] for source in sources):
        raise LabError(
            f"The receptive field cannot be followed through {node.target!r}, which changes "
            "the size of the map; use nn.Conv2d, nn.MaxPool2d or nn.AvgPool2d there."
        )
    return _View(field, step, shape[2:])


def _flops(model: nn.Module, image: Tensor) -> dict[str, int]:
    """By a module's path in the model, and ``Global`` for all."""
    with FlopCounterMode(display=False) as counter:
        model(image)
    counts = counter.get_flop_counts().items()
    return {path.partition(".")[2] or path: sum(count.values()) for path, count in counts}


def _without_data(model: nn.Module, image_size: int) -> tuple[nn.Module, Tensor]:
    """A copy in evaluation mode and one image, on the meta device, where nothing is computed."""
    dtype = next(model.parameters()).dtype
    image = torch.empty(1, 3, image_size, image_size, dtype=dtype, device="meta")
    return copy.deepcopy(model).to("meta").eval(), image
