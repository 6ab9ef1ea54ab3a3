"""What a network costs and what it sees: parameters, bytes, FLOPs and receptive field by layer.

Every function leaves the model as it was. ``image_size`` is the side in pixels of the square RGB
image, (1, 3, S, S), that the model is built for.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from lab_utils import LabError


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


def layer_table(model: nn.Module, image_size: int = 32) -> list[dict[str, Any]]:
    """One row for each ``torch.nn`` module that runs, in order of execution.

    The keys: ``name`` (its path in the model), ``type``, ``output_shape`` (a list, without the
    batch), ``parameters`` (0 where a module runs again), ``flops`` (as ``count_flops`` has them)
    and ``receptive_field`` (pixels; None once flattening or global pooling has seen all).
    Raises LabError as ``receptive_field`` does.
    """
    return _walk(model, image_size).rows


def receptive_field(model: nn.Module, image_size: int = 32) -> int:
    """The side in pixels of what one unit of the last feature map sees, not clipped by the image.

    The last map is the one before flattening or global pooling. A layer with kernel k, dilation d
    and stride s adds (k - 1) d times the distance between two of its inputs, and makes that
    distance s times longer (Araujo et al. 2019, doi:10.23915/distill.00021); where branches meet,
    the widest counts. Raises LabError where the forward pass cannot be traced or followed.
    """
    walk = _walk(model, image_size)
    return walk.sights[walk.last_map].field


def gradient_footprint(model: nn.Module, image_size: int = 32) -> int:
    """What ``receptive_field`` computes, measured: a check that shares none of its arithmetic.

    It is the side in pixels of the input gradient of one centre unit of the last feature map, where
    it is not zero (arXiv:1701.04128), on an image so large that its border is out of sight.
    Raises LabError as ``receptive_field`` does.
    """
    last_map = _walk(model, image_size).last_map
    # A copy in which no path is closed and no two cancel: positive weights keep every ReLU open,
    # and an average lets through all of the pixels of which a maximum would choose one.
    probe = copy.deepcopy(model).cpu().float().eval()
    for name, module in list(probe.named_modules()):
        if isinstance(module, nn.Conv2d):
            # 1/3 for each of 3 x 3 pixels: neither their sum nor a corner's product, over a hundred
            # layers as over ten, leaves the range of float32.
            nn.init.constant_(module.weight, 3 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # mean 0, variance 1, weight 1, bias 0: the identity
        elif isinstance(module, nn.MaxPool2d):
            pool = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
            probe.set_submodule(name, pool)
    # End the graph at the last map: a linear layer after it would fix the size of the image.
    traced = fx.symbolic_trace(probe)
    *nodes, output = traced.graph.nodes
    output.args = (next(node for node in nodes if node.name == last_map.name),)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    for side in (image_size * 2**doubling for doubling in range(1, 6)):
        image = torch.ones(1, 3, side, side, requires_grad=True)
        maps = traced(image)
        centre = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()
        (gradient,) = torch.autograd.grad(centre, image)
        pixels = gradient[0].any(dim=0).nonzero()  # (row, column) of each
        first, last = int(pixels.min()), int(pixels.max())
        if first > 0 and last < side - 1:
            return int((pixels.amax(0) - pixels.amin(0)).max()) + 1
    raise LabError(f"One unit sees all of an image of {side} pixels a side; there is no footprint.")


class _Sight(NamedTuple):
    """What one unit of a feature map sees of the image, in pixels."""

    field: int  # the side of its receptive field
    step: int  # how far apart two neighbours' fields lie
    size: torch.Size  # of the map: height and width


class _Walk(fx.Interpreter):
    """Runs a traced model step by step and notes what each step costs and sees."""

    def __init__(self, model: nn.Module):
        super().__init__(fx.symbolic_trace(model))
        self.counter = FlopCounterMode(display=False)
        self.rows: list[dict[str, Any]] = []
        self.sights: dict[fx.Node, _Sight | None] = {}  # None: the whole image
        self.last_map: fx.Node | None = None

    def run_node(self, node: fx.Node) -> Any:
        flops_before = self.counter.get_total_flops()
        out = super().run_node(node)
        if not isinstance(out, Tensor) or node.op in ("get_attr", "output"):
            return out
        module = self.submodules.get(node.target) if node.op == "call_module" else None
        sight = self.sights[node] = self._look(node, module, out.shape)
        if sight:
            self.last_map = node
        if module:
            known = any(row["name"] == node.target for row in self.rows)
            row = {
                "name": node.target,
                "type": type(module).__name__,
                "output_shape": list(out.shape[1:]),
                "parameters": 0 if known else count_parameters(module),
                "flops": self.counter.get_total_flops() - flops_before,
                "receptive_field": sight.field if sight else None,
            }
            self.rows.append(row)
        return out

    def _look(self, node: fx.Node, module: nn.Module | None, shape: torch.Size) -> _Sight | None:
        if node.op == "placeholder":
            return _Sight(field=1, step=1, size=shape[2:])
        sources = [self.sights[n] for n in node.all_input_nodes if n in self.sights]
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
        return _Sight(field, step, shape[2:])


def _walk(model: nn.Module, image_size: int) -> _Walk:
    model, image = _without_data(model, image_size)
    try:
        walk = _Walk(model)
    except fx.proxy.TraceError as error:
        raise LabError(f"torch.fx cannot trace the model's forward pass: {error}.") from None
    with walk.counter:
        walk.run(image)
    return walk


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
