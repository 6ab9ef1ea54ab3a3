"""What the lab counts of a network: costs by layer, and receptive fields."""

import copy

import pytest
import torch
from torch import fx, nn

from lab_utils import LabError
from lab_utils.model.networks import build
from lab_utils.model.summary import (
    activations,
    count_flops,
    count_parameters,
    layer_table,
    receptive_field,
    summarize,
    weight_bytes,
)


def gradient_footprint(model, image_size=32):
    """What ``receptive_field`` computes, measured by other means: the side in pixels of the input
    gradient of one centre unit of the last feature map, where it is not zero (arXiv:1701.04128),
    on an image so large that its border is out of sight.
    """
    last_map = [layer.name for layer in layer_table(model, image_size) if layer.receptive_field][-1]
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
    output.args = ([node for node in nodes if node.target == last_map][-1],)
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
    raise AssertionError(f"One unit sees all of an image of {side} pixels a side.")


def test_simplecnn_costs_what_the_hand_calculation_says():
    # Output pixels x inputs of each filter x filters, then the linear layers; 2 per multiply-add.
    multiply_adds = (
        32 * 32 * (9 * 3) * 32
        + 16 * 16 * (9 * 32) * 64
        + 8 * 8 * (9 * 64) * 128
        + 2048 * 256
        + 256 * 10
    )
    assert count_flops(build("simplecnn")) == 2 * multiply_adds == 21_697_536


def test_resnet18_costs_what_the_hand_calculation_says():
    # Four stages of 32, 16, 8 and 4 pixels a side use each of their weights once per output pixel.
    stages = zip((32, 16, 8, 4), (147_456, 524_288, 2_097_152, 8_388_608), strict=True)
    multiply_adds = 32 * 32 * 1_728 + sum(side**2 * weights for side, weights in stages) + 5_120
    assert count_flops(build("resnet18")) == 2 * multiply_adds == 1_110_845_440
    # 3 of the first convolution; then 4 x 2, and (2 x half the step + 3 x 2 x step) of each stage.
    assert receptive_field(build("resnet18")) == 3 + 8 + (2 + 12) + (4 + 24) + (8 + 48) == 109


def test_the_rows_of_the_layer_table_add_up_to_the_model(model):
    table = layer_table(model)
    assert sum(row.parameters for row in table) == count_parameters(model)
    assert sum(row.flops for row in table) == count_flops(model)
    assert table[-1].output_shape == [10]
    assert table[-1].receptive_field is None


def test_a_module_that_runs_twice_is_paid_for_once():
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    first, _, again = layer_table(model)
    assert (first.parameters, again.parameters) == (84, 0)
    assert first.flops + again.flops == count_flops(model) == 2 * 2 * 81 * 32 * 32
    assert (first.receptive_field, again.receptive_field) == (3, 5)


def test_the_layer_table_of_simplecnn_reads_as_its_definition():
    rows = [row for row in layer_table(build("simplecnn")) if row.type == "Conv2d"]
    assert [row.name for row in rows] == ["features.0", "features.4", "features.8"]
    assert [row.output_shape for row in rows] == [[32, 32, 32], [64, 16, 16], [128, 8, 8]]
    assert [row.receptive_field for row in rows] == [3, 8, 18]


def test_the_receptive_field_is_the_footprint_of_the_gradient(model):
    assert receptive_field(model) == gradient_footprint(model)


def test_the_summary_leaves_the_model_as_it_was():
    model = build("simplecnn").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    layer_table(model), gradient_footprint(model)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_receptive_field_follows_dilation_branches_and_strides():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.narrow = nn.Conv2d(3, 4, 1, stride=2)
            self.wide = nn.Conv2d(3, 4, 3, stride=2, padding=2, dilation=2)
            self.last = nn.Conv2d(4, 4, 3)

        def forward(self, x):
            return self.last(self.wide(x) + self.narrow(x)).mean((2, 3))

    assert receptive_field(Branches()) == 5 + 2 * 2 == gradient_footprint(Branches())


def test_a_step_that_cannot_be_followed_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2))
    with pytest.raises(LabError, match="cannot be followed"):
        receptive_field(model)


def test_weight_bytes_count_every_tensor_of_the_state_dict():
    # Per BatchNorm: mean and variance, as many as its weight and bias, and one 8-byte counter.
    assert weight_bytes(build("simplecnn")) == 4 * (620_810 + 448) + 3 * 8


def test_a_summary_is_what_its_parts_say(model):
    facts = summarize(model)
    assert facts.parameters == count_parameters(model)
    assert facts.flops == 2 * facts.macs == count_flops(model)
    assert facts.weight_bytes == weight_bytes(model)
    assert facts.receptive_field == receptive_field(model)
    assert (facts.image_shape, facts.layers) == ([3, 32, 32], layer_table(model))


def test_maps_are_looked_at_after_the_first_a_middle_and_the_last_activation(model):
    layers = layer_table(model)
    kind, names = activations(layers)
    shapes = {layer.name: layer.output_shape for layer in layers if layer.type == kind}
    order = list(shapes)
    assert [order.index(name) for name in names] == sorted(order.index(name) for name in names)
    assert all(len(shapes[name]) == 3 for name in names)


def test_the_maps_of_simplecnn_are_those_of_its_three_blocks():
    assert activations(layer_table(build("simplecnn"))) == (
        "ReLU", ["features.2", "features.6", "features.10"],
    )  # fmt: skip
