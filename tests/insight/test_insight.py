"""Where a network looks, and what damage and attacks do to it."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from toy import CPU, HALF

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.settings import MODELS
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Split
from lab_utils.insight import attacks, corruptions, figures, gradcam
from lab_utils.model import networks
from lab_utils.model.predict import accuracy, predict


class BrightSpots(nn.Module):
    """Two logits: how much red the image holds, and how much blue."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[..., None, None]
        self.activation = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, images):
        return self.pool(self.activation(self.conv(images))).mean((2, 3))


class Linear(nn.Module):
    """Two logits, w . x and 0, of the normalised pixels."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * 8 * 8, generator=torch.manual_seed(0)))

    def forward(self, images):
        score = images.flatten(1) @ self.weight
        return torch.stack([score, torch.zeros_like(score)], 1)


@pytest.fixture(scope="module")
def split():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (70, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return Split(images, torch.randint(2, (70,), generator=generator))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    return nn.Sequential(*layers).eval()


def test_grad_cam_lights_up_where_the_evidence_is():
    images = torch.zeros(2, 3, 8, 8)
    images[:, 0, :2, :2] = 1  # red in the upper left corner
    images[:, 2, 6:, 6:] = 1  # blue in the lower right one
    look = gradcam.grad_cam(BrightSpots(), images, torch.tensor([0, 1]), count=1)
    assert look.heat.shape == (2, 8, 8)
    assert look.heat[0].equal(images[0, 0])
    assert look.heat[1].equal(images[1, 2])
    assert look.maps.shape == (2, 1, 8, 8)
    assert look.maps[0, 0].bool().equal(images[0, 0].bool())


def looked(*heat, cells=8):
    return gradcam.Look(torch.stack(heat), torch.zeros(len(heat), 1, cells, cells))


def test_an_image_without_evidence_stays_dark():
    look = gradcam.grad_cam(BrightSpots(), torch.zeros(1, 3, 8, 8), torch.tensor([0]))
    assert look.heat.eq(0).all()
    assert gradcam.share_in_the_middle(look) is None


def test_the_share_in_the_middle_is_of_a_quarter_of_the_area():
    even, centre = torch.ones(8, 8), torch.zeros(8, 8)
    centre[3:5, 3:5] = 1
    assert gradcam.share_in_the_middle(looked(even)) == 0.25
    assert gradcam.share_in_the_middle(looked(centre)) == 1
    dark = torch.zeros(8, 8)
    assert gradcam.share_in_the_middle(looked(even, centre, dark)) == 0.625


def test_coarse_maps_cannot_tell_the_middle_from_the_border():
    assert gradcam.share_in_the_middle(looked(torch.ones(8, 8), cells=2)) is None


@pytest.mark.parametrize(
    ("name", "layer"),
    [("simplecnn", "features.10"), ("convnet", "features.21"), ("resnet20", "features")],
)
def test_grad_cam_reads_the_last_map_before_pooling(name, layer):
    model = networks.build(name).eval()
    found = gradcam.last_feature_layer(model, torch.zeros(1, 3, 32, 32))
    assert found is model.get_submodule(layer)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_lab_can_be_looked_into(name):
    model = networks.build(name, num_classes=3).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(0))
    look = gradcam.grad_cam(model, images, torch.tensor([0, 2]))
    assert look.heat.shape == (2, 32, 32)
    assert ((look.heat >= 0) & (look.heat <= 1)).all()
    assert look.maps.shape[:2] == (2, 3)
    assert look.maps.isfinite().all()
    assert look.maps.any()
    assert all(p.grad is None for p in model.parameters())


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(LabError, match=r"needs a network with an nn\.Conv2d"):
        gradcam.grad_cam(Linear(), torch.zeros(1, 3, 8, 8), torch.tensor([0]))


@pytest.mark.parametrize("steps", attacks.STEPS.values())
@pytest.mark.parametrize("epsilon", [0, 1, 8, 64])
def test_an_attack_stays_within_epsilon_and_within_the_image(network, split, steps, epsilon):
    model = attacks.on_pixels(network, HALF)
    pixels = split.images.float() / 255
    before = torch.get_rng_state()
    found = attacks.attack(model, pixels, split.targets, epsilon / 255, steps)
    assert (found - pixels).abs().max() <= epsilon / 255 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert epsilon == 0 or not found.equal(pixels)
    assert torch.get_rng_state().equal(before)
    assert attacks.attack(model, pixels, split.targets, epsilon / 255, steps).equal(found)


def test_fgsm_does_the_worst_that_can_be_done_to_a_linear_score(split):
    pixels = 0.25 + 0.5 * split.images.float() / 255  # no pixel can reach the end of its range
    model, epsilon = Linear(), 3 / 255
    score = attacks.on_pixels(model, HALF)
    attacked = attacks.attack(score, pixels, split.targets, epsilon)
    change = (score(attacked) - score(pixels))[:, 0]
    sign = torch.where(split.targets == 0, -1, 1)
    worst = epsilon * model.weight.abs().sum() / HALF.std[0]
    assert (sign * change).tolist() == pytest.approx([worst.item()] * len(split), rel=1e-3)


def test_pgd_goes_ten_steps_and_ends_at_the_worst_for_a_linear_score(split):
    pixels = 0.25 + 0.5 * split.images.float() / 255
    score, asked = attacks.on_pixels(Linear(), HALF), []

    def watched(images):
        asked.append(len(images))
        return score(images)

    found = attacks.attack(watched, pixels, split.targets, 3 / 255, attacks.STEPS["PGD"])
    assert asked == [len(split)] * 10
    assert (found - attacks.attack(score, pixels, split.targets, 3 / 255)).abs().max() < 1e-6


def test_a_network_that_is_sure_beyond_rounding_is_attacked_as_well(split):
    """There the gradient of the cross-entropy is zero in float32, which is no robustness."""
    pixels = 0.25 + 0.5 * split.images.float() / 255
    score = attacks.on_pixels(Linear(), HALF)
    sure = torch.tensor([1000.0, 0.0])
    zeros = torch.zeros(len(split), dtype=torch.int64)
    found = attacks.attack(lambda x: score(x) + sure, pixels, zeros, 1 / 255)
    assert found.equal(attacks.attack(score, pixels, zeros, 1 / 255))
    assert not found.equal(pixels)


def test_without_a_change_the_accuracy_is_the_clean_one_and_larger_changes_do_more(split):
    network = Linear()
    logits, targets = predict(network, Batches(split, 32, HALF), CPU)
    rows = attacks.attack_curve(network, split, HALF, CPU.device)
    for name in ("FGSM", "PGD"):
        curve = [row.accuracy for row in rows if row.damage == name]
        assert curve[0] == accuracy(logits, targets)
        assert curve == sorted(curve, reverse=True)
        assert curve[-1] < curve[0]
    assert all(row.low <= row.accuracy <= row.high for row in rows)


def test_where_nothing_is_right_any_more_there_is_nothing_left_to_attack(split):
    network = Linear()
    logits, _ = predict(network, Batches(split, 32, HALF), CPU)
    wrong = Split(split.images, 1 - logits.argmax(1))
    rows = attacks.attack_curve(network, wrong, HALF, CPU.device)
    assert [row.correct for row in rows] == [0] * 2 * len(attacks.EPSILONS)


def test_the_attacks_say_nothing(network, split, recwarn):
    model = attacks.on_pixels(network, HALF)
    for steps in attacks.STEPS.values():
        attacks.attack(model, split.images / 255, split.targets, 0.1, steps)
    assert not recwarn.list


def test_noise_has_its_standard_deviation_and_blur_keeps_the_mean():
    gray = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    noisy = corruptions.noise(gray, 16)
    assert noisy.dtype == torch.uint8
    assert noisy.float().std().item() == pytest.approx(16, rel=0.02)
    assert corruptions.noise(gray, 16).equal(noisy)
    point = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    point[:, :, 16, 16] = 255
    blurred = corruptions.blur(point, 1.0)[0, 0].float()
    assert blurred[16, 16].item() == pytest.approx(255 / (2 * np.pi), abs=2)
    assert blurred.sum().item() == pytest.approx(255, rel=0.1)
    assert corruptions.blur(gray, 2.0).equal(gray)
    assert corruptions.blur(gray[..., :8, :8], 4.0).equal(gray[..., :8, :8])


def test_jpeg_of_the_best_quality_hardly_changes_an_image_and_of_a_low_one_does():
    ramp = torch.linspace(0, 255, 32).to(torch.uint8)
    image = torch.stack([ramp.expand(32, 32), ramp.expand(32, 32).T, ramp.expand(32, 32)])[None]
    difference = {q: (corruptions.jpeg(image, q).int() - image.int()).abs() for q in (100, 5)}
    assert difference[100].float().mean() < 2
    assert difference[5].float().mean() > 2 * difference[100].float().mean()


def test_the_corruption_curve_counts_every_image(network, split):
    rows = corruptions.corruption_curve(network, split, HALF, CPU)
    assert [row.damage for row in rows] == ["noise"] * 3 + ["blur"] * 3 + ["jpeg"] * 3
    assert all(row.images == len(split) for row in rows)
    assert all(row.accuracy == row.correct / len(split) for row in rows)


def test_the_rows_are_written_with_the_names_that_the_report_reads(network, split, tmp_path):
    damaged = corruptions.corruption_curve(network, split, HALF, CPU)
    attacked = attacks.attack_curve(network, split, HALF, CPU.device)
    write_json(tmp_path / "a.json", [damaged[0], attacked[0]])
    names = {"damage", "strength", "images", "correct", "accuracy", "low", "high"}
    assert [set(row) for row in json.loads((tmp_path / "a.json").read_text())] == [names, names]


def test_the_captions_tell_what_the_curves_show():
    clean = corruptions.Accuracy.of(torch.tensor([True, True, True, False]))
    damaged = [
        corruptions.Accuracy.of(torch.arange(4) < n, kind, 2)
        for n, kind in ((3, "noise"), (1, "blur"), (2, "jpeg"))
    ]
    drawing = figures.corruptions(damaged, clean)
    assert drawing.caption == (
        "Accuracy on 4 damaged test images with 95% intervals; undamaged it is 75.0%, on average "
        "over the 3 kinds and strengths 50.0%, and lowest under blur of strength 2 (25.0%)."
    )
    attacked = [
        corruptions.Accuracy.of(torch.arange(4) < n, name, epsilon)
        for name, right in (("FGSM", (3, 2)), ("PGD", (3, 1)))
        for n, epsilon in zip(right, (0, 2), strict=True)
    ]
    assert "from 75.0% to 50.0% (FGSM) and 25.0% (PGD)" in figures.attacks(attacked, 0.5).caption
    for drawn in (drawing, figures.attacks(attacked, 0.5)):
        assert drawn.file.endswith(".svg")
        assert drawn._repr_html_()
