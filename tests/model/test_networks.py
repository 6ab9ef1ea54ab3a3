"""What the lab says about its networks: shapes, parameters, and that they can learn."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.core.settings import MODELS
from lab_utils.model.networks import build
from lab_utils.model.summary import count_flops, count_parameters, receptive_field

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


def test_a_model_has_its_published_number_of_parameters():
    assert {name: count_parameters(build(name)) for name in PARAMETERS} == PARAMETERS


def test_the_report_prints_the_definition_of_every_model():
    for name in MODELS:
        text = (project_root() / f"lab_utils/model/networks/{name}.py").read_text()
        kind = type(build(name)).__name__
        assert f"class {kind}(" in text and kind.lower() == name.replace("_", "")


def test_a_network_is_built_without_importing_another_ones_file():
    code = (
        "import sys; from lab_utils.model.networks import build; build('simplecnn'); "
        "assert 'torchvision' not in sys.modules; "
        "print([name.split('.')[-1] for name in sys.modules if '.networks.' in name])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['simplecnn']"


@pytest.mark.parametrize("size", [16, 36])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_returns_one_logit_per_class_for_other_sizes_too(name, size):
    images = torch.randn(2, 3, size, size)
    assert build(name, num_classes=7, image_size=size)(images).shape == (2, 7)


@pytest.mark.parametrize("name", ["simplecnn", "convnet", "speednet"])  # others begin surer
def test_an_untrained_model_loses_what_guessing_does(name):
    torch.manual_seed(0)
    model = build(name).eval()
    images, targets = torch.randn(64, 3, 32, 32), torch.arange(64) % 10
    with torch.no_grad():
        loss = F.cross_entropy(model(images), targets)
    assert loss.item() == pytest.approx(math.log(10), abs=0.03)


def test_simplecnn_drops_half_of_a_layer_while_it_trains():
    model, images = build("simplecnn"), torch.randn(4, 3, 32, 32)
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [0.5]
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


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


def test_an_unknown_model_is_refused_with_those_there_are():
    with pytest.raises(LabError, match="choose one of: simplecnn, compactnet, compactnet_standard"):
        build("resnet56")


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
