"""What the lab says about its networks: shapes, counts, costs, receptive fields, and learning."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
import torchvision

from lab.report import _code
from lab_utils import LabError
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.deployment import export
from lab_utils.deployment.engine import load_pixel_model
from lab_utils.model.build import new_model
from lab_utils.model.networks import MODELS, build
from lab_utils.model.networks.resnet18 import imagenet_file
from lab_utils.model.summary import (
    count_flops,
    count_parameters,
    gradient_footprint,
    layer_table,
    receptive_field,
    weight_bytes,
)
from lab_utils.training.checkpoints import load_best, save_best

# By hand; K x C_in x C_out is a convolution's weights, 2 C a BatchNorm's weight and bias:
# simplecnn  896 + 64 + 18,496 + 128 + 73,856 + 256 + 524,544 + 2,570 (convolutions with bias)
# compactnet  first block 864 + 64; separable 9 C_in + C_in C_out: 2,336 + 4,672 + 8,768
#   + 2 x 17,536, their BatchNorms 1,024; last block 147,456 + 256; linear 1,290
# compactnet_standard  the same with 9 C_in C_out: 18,432 + 36,864 + 73,728 + 2 x 147,456
# convnet  864 + 9,216 + 18,432 + 36,864 + 73,728 + 147,456, BatchNorms 896, linear 33,024 + 2,570
# resnet20  432 + 6 x 2,304 + 4,608 + 5 x 9,216 + 18,432 + 5 x 36,864 = 267,696 in convolutions,
#   BatchNorms 2 x 7 x 16 + 2 x 6 x 32 + 2 x 6 x 64 = 1,376, linear 650. Option B's 1x1 shortcuts
#   would add 2,752, and make the 272,474 that is often quoted; He et al. used option A on CIFAR-10.
# resnet18  1,728, then 4 x 36,864; 524,288; 2,097,152; 8,388,608 (three 3x3 of C x C, one of
#   C x C/2, a 1x1 shortcut of C x C/2) in convolutions, BatchNorms 9,600, linear 5,130
PARAMETERS = {
    "simplecnn": 620_810,
    "compactnet": 201_802,
    "compactnet_standard": 574_890,
    "convnet": 323_050,
    "resnet20": 269_722,
    "resnet18": 11_173_962,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tensors on shared cores: threads would spend the time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    return build(request.param)


def test_a_model_has_its_published_number_of_parameters():
    assert {name: count_parameters(build(name)) for name in PARAMETERS} == PARAMETERS


def test_the_report_prints_the_definition_of_every_model(tmp_path):
    for name in MODELS:
        first = _code(name, tmp_path / name)[0]
        assert first["name"] == type(build(name)).__name__
        assert (tmp_path / name / first["copy"]).read_text().startswith(f"class {first['name']}(")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_returns_one_logit_per_class_for_other_sizes_too(name):
    images = torch.randn(2, 3, 48, 48)
    assert build(name, num_classes=7, image_size=48)(images).shape == (2, 7)


def test_an_untrained_model_knows_nothing(model):
    images, targets = torch.randn(64, 3, 32, 32), torch.arange(64) % 10
    with torch.no_grad():
        loss = F.cross_entropy(model.train()(images), targets)
    assert loss.item() == pytest.approx(math.log(10), abs=1.0)


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
    assert sum(row["parameters"] for row in table) == count_parameters(model)
    assert sum(row["flops"] for row in table) == count_flops(model)
    assert table[-1]["output_shape"] == [10]
    assert table[-1]["receptive_field"] is None


def test_the_layer_table_of_simplecnn_reads_as_its_definition():
    rows = [row for row in layer_table(build("simplecnn")) if row["type"] == "Conv2d"]
    assert [row["name"] for row in rows] == ["features.0", "features.4", "features.8"]
    assert [row["output_shape"] for row in rows] == [[32, 32, 32], [64, 16, 16], [128, 8, 8]]
    assert [row["receptive_field"] for row in rows] == [3, 8, 18]


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


def test_compactnet_keeps_the_promises_of_its_recipe():
    compact, twin = build("compactnet"), build("compactnet_standard")
    assert count_parameters(compact) < 1_000_000
    assert receptive_field(compact) == receptive_field(twin) > 44
    assert count_parameters(compact) < 0.4 * count_parameters(twin)  # "60% smaller"
    assert count_flops(compact) < 0.5 * count_flops(twin)
    assert any(getattr(module, "dilation", 1) == (2, 2) for module in compact.modules())


def test_option_a_shortcuts_subsample_and_pad_with_zeros():
    images = torch.randn(2, 16, 8, 8)
    out = build("resnet20").features[6].shortcut(images)
    assert torch.equal(out[:, :16], images[:, :, ::2, ::2])
    assert out.shape == (2, 32, 4, 4) and not out[:, 16:].any()


@pytest.mark.parametrize(
    ("name", "image_size", "message"),
    [
        ("resnet56", 32, "choose one of: simplecnn, compactnet, compactnet_standard, convnet, "),
        ("simplecnn", 36, "such as 32 or 40"),
        ("convnet", 4, "8 or more pixels"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused_in_one_sentence(name, image_size, message):
    with pytest.raises(LabError, match=message):
        build(name, image_size=image_size)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_can_memorise_one_batch(name):
    """Learning works at all: the loss on 16 random images falls by more than 90%."""
    torch.manual_seed(0)
    model = build(name, image_size=16).train()
    images, targets = torch.randn(16, 3, 16, 16), torch.arange(16) % 10
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0  # dropout is there to hinder memorising
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.1 * losses[0]:
            break
    assert losses[-1] < 0.1 * losses[0]


@pytest.fixture
def cache(tmp_path):
    """An empty torch cache; the user's own is out of reach."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    imagenet_file().parent.mkdir()
    yield imagenet_file()
    torch.hub.set_dir(before)


PRETRAINED = Settings(experiment="smoke", model="resnet18", pretrained=True)


def tiny():
    """Eight images of noise, of 4 classes."""
    images = torch.arange(8 * 3 * 32 * 32) * 997 % 256
    split = Split(images.view(8, 3, 32, 32).byte(), torch.arange(8) % 4)
    return Dataset("folder", "Noise", "", "", tuple("abcd"), split, split, "f00d")


def test_pretrained_takes_over_all_but_the_last_layer(cache):
    imagenet = torchvision.models.resnet18().state_dict()  # random, but of the true shapes
    torch.save(imagenet, cache)
    found = new_model(PRETRAINED, tiny()).state_dict()
    fresh = new_model(PRETRAINED.model_copy(update={"pretrained": False}), tiny()).state_dict()
    assert torch.equal(found["conv1.weight"], imagenet["conv1.weight"][:, :, 2:5, 2:5])
    for key in found.keys() - {"conv1.weight"}:
        expected = fresh if key.startswith("fc.") else imagenet
        assert torch.equal(found[key], expected[key]), key


def test_pretrained_without_the_weights_is_refused_with_the_way_to_get_them(cache):
    with pytest.raises(LabError, match=rf"{cache.name}: .*resnet18\(weights='DEFAULT'\).*=false"):
        new_model(PRETRAINED, tiny())
    assert list(cache.parent.iterdir()) == []  # nothing was downloaded


class Trap:
    """Pickled, it would call ``pytest.fail`` where it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("code of the file was run",)


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(64, 3, 7, 7)}, Trap()])
def test_imagenet_weights_that_are_none_are_refused(cache, content):
    torch.save(content, cache)
    with pytest.raises(LabError, match="damaged or holds another network"):
        new_model(PRETRAINED, tiny())


def test_a_fine_tuned_resnet18_is_loaded_and_exported_without_the_imagenet_file(cache, tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), cache)
    model = new_model(PRETRAINED, tiny())
    cache.unlink()
    path = tmp_path / "best.pt"
    save_best(path, model, tiny(), PRETRAINED, {"epoch": 1, "val_accuracy": 0.25})
    assert torch.equal(load_best(path)[0].conv1.weight, model.conv1.weight)
    exports = export.export_all(*load_pixel_model(path), tmp_path / "exports")
    for row in export.compare(load_pixel_model(path)[0], exports, torch.rand(2, 3, 32, 32)):
        assert row["max_logit_difference"] < 1e-4
