"""What notebook 05 says of why: heat maps, damage, attacks, temperature and ensembles."""

from io import BytesIO
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Split
from lab_utils.evaluation import calibration
from lab_utils.evaluation.metrics import reliability
from lab_utils.insight import attacks, corruptions, figures, gradcam
from lab_utils.model import networks
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.hardware import Machine

CPU = Machine(torch.device("cpu"), "", torch.float32, "")
MEAN, STD = (0.5,) * 3, (0.25,) * 3


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
    assert look.channels.tolist() == [[0], [1]]


def test_an_image_without_evidence_stays_dark():
    look = gradcam.grad_cam(BrightSpots(), torch.zeros(1, 3, 8, 8), torch.tensor([0]))
    assert look.heat.eq(0).all()
    assert np.isnan(gradcam.share_in_the_middle(look.heat))


def test_the_share_in_the_middle_is_of_a_quarter_of_the_area():
    even, centre = torch.ones(8, 8), torch.zeros(8, 8)
    centre[3:5, 3:5] = 1
    assert gradcam.share_in_the_middle(even[None]) == 0.25
    assert gradcam.share_in_the_middle(centre[None]) == 1
    dark = torch.zeros(8, 8)
    assert gradcam.share_in_the_middle(torch.stack([even, centre, dark])) == 0.625


@pytest.mark.parametrize(
    ("name", "layer"),
    [("simplecnn", "features.10"), ("convnet", "features.21"), ("resnet20", "features")],
)
def test_grad_cam_reads_the_last_map_before_pooling(name, layer):
    found, _ = gradcam.last_feature_layer(networks.build(name).eval(), torch.zeros(1, 3, 32, 32))
    assert found == layer


@pytest.mark.parametrize("name", networks.MODELS)
def test_every_model_of_the_lab_can_be_looked_into(name):
    model = networks.build(name, num_classes=3).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(0))
    look = gradcam.grad_cam(model, images, torch.tensor([0, 2]))
    assert look.heat.shape == (2, 32, 32)
    assert ((look.heat >= 0) & (look.heat <= 1)).all()
    assert look.maps.shape[:2] == look.channels.shape == (2, 3)
    assert look.maps.isfinite().all()
    assert look.maps.any()
    assert all(p.grad is None for p in model.parameters())


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(LabError, match=r"needs a network with an nn\.Conv2d"):
        gradcam.grad_cam(Linear(), torch.zeros(1, 3, 8, 8), torch.tensor([0]))


def test_without_captum_the_extra_is_named(monkeypatch, network, split):
    for module in ("captum", "captum.attr", "captum.robust"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LabError, match=r"pip install -e \"\.\[insight\]\""):
        gradcam.grad_cam(network, torch.zeros(1, 3, 8, 8), torch.tensor([0]))
    with pytest.raises(LabError, match=r"\[insight\]"):
        attacks.attack_curve(network, split, MEAN, STD, CPU.device)
    assert corruptions.corruption_curve(network, split, MEAN, STD, CPU)


@pytest.mark.parametrize("attack", [attacks.fgsm, attacks.pgd])
@pytest.mark.parametrize("epsilon", [0, 1, 8, 64])
def test_an_attack_stays_within_epsilon_and_within_the_image(network, split, attack, epsilon):
    model = attacks.on_pixels(network, MEAN, STD)
    pixels = split.images.float() / 255
    before = torch.get_rng_state()
    found = attack(model, pixels, split.targets, epsilon / 255)
    assert (found - pixels).abs().max() <= epsilon / 255 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert epsilon == 0 or not found.equal(pixels)
    assert torch.get_rng_state().equal(before)
    assert attack(model, pixels, split.targets, epsilon / 255).equal(found)


def test_fgsm_does_the_worst_that_can_be_done_to_a_linear_score(split):
    pixels = 0.25 + 0.5 * split.images.float() / 255  # no pixel can reach the end of its range
    model, epsilon = Linear(), 3 / 255
    score = attacks.on_pixels(model, MEAN, STD)
    attacked = attacks.fgsm(score, pixels, split.targets, epsilon)
    change = (score(attacked) - score(pixels))[:, 0]
    sign = torch.where(split.targets == 0, -1, 1)
    worst = epsilon * model.weight.abs().sum() / STD[0]
    assert (sign * change).tolist() == pytest.approx([worst.item()] * len(split), rel=1e-3)


def test_a_network_that_is_sure_beyond_rounding_is_attacked_as_well(split):
    """There the gradient of the cross-entropy is zero in float32, which is no robustness."""
    pixels = 0.25 + 0.5 * split.images.float() / 255
    score = attacks.on_pixels(Linear(), MEAN, STD)
    sure = torch.tensor([1000.0, 0.0])
    zeros = torch.zeros(len(split), dtype=torch.int64)
    found = attacks.fgsm(lambda x: score(x) + sure, pixels, zeros, 1 / 255)
    assert found.equal(attacks.fgsm(score, pixels, zeros, 1 / 255))
    assert not found.equal(pixels)


def test_without_a_change_the_accuracy_is_the_clean_one_and_larger_changes_do_more(split):
    network = Linear()
    logits, targets = predict(network, Batches(split, 32, MEAN, STD), CPU)
    rows = attacks.attack_curve(network, split, MEAN, STD, CPU.device)
    for name in ("FGSM", "PGD"):
        curve = [row["accuracy"] for row in rows if row["attack"] == name]
        assert curve[0] == accuracy(logits, targets)
        assert curve == sorted(curve, reverse=True)
        assert curve[-1] < curve[0]
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in rows)


def test_where_nothing_is_right_any_more_there_is_nothing_left_to_attack(split):
    network = Linear()
    logits, _ = predict(network, Batches(split, 32, MEAN, STD), CPU)
    wrong = Split(split.images, 1 - logits.argmax(1))
    rows = attacks.attack_curve(network, wrong, MEAN, STD, CPU.device)
    assert [row["correct"] for row in rows] == [0] * 2 * len(attacks.EPSILONS)


def test_the_attacks_say_nothing(network, split, recwarn):
    model = attacks.on_pixels(network, MEAN, STD)
    for attack in (attacks.fgsm, attacks.pgd):
        attack(model, split.images / 255, split.targets, 0.1)
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
    rows = corruptions.corruption_curve(network, split, MEAN, STD, CPU)
    assert [row["corruption"] for row in rows] == ["noise"] * 3 + ["blur"] * 3 + ["jpeg"] * 3
    assert all(row["images"] == len(split) for row in rows)
    assert all(row["accuracy"] == row["correct"] / len(split) for row in rows)


@pytest.fixture(scope="module")
def overconfident():
    """Logits three times as large as those from which the targets were drawn."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 5, generator=generator)
    targets = logits.softmax(1).multinomial(1, generator=generator).squeeze(1)
    return 3 * logits, targets


def test_the_temperature_undoes_a_stretching_of_the_logits(overconfident):
    logits, targets = overconfident
    found = calibration.fit_temperature(logits, targets)
    assert found == pytest.approx(3, rel=0.1)
    assert reliability(logits / found, targets)["ece"] < reliability(logits, targets)["ece"] / 3
    assert (logits.double() / found).argmax(1).equal(logits.argmax(1))


@pytest.mark.parametrize("scale", [0.01, 1 / 3, 1.0, 50.0])
def test_a_temperature_never_raises_the_loss_it_was_fitted_on(overconfident, scale):
    logits, targets = scale * overconfident[0].double(), overconfident[1]
    found = calibration.fit_temperature(logits, targets)
    loss = nn.functional.cross_entropy
    assert found > 0
    assert loss(logits / found, targets) <= loss(logits, targets)


def test_images_without_a_mistake_give_a_finite_temperature():
    logits = 5 * torch.eye(3)
    assert 0.05 <= calibration.fit_temperature(logits, torch.arange(3)) <= 1


def test_an_ensemble_is_the_mean_of_the_probabilities():
    members = [torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.2, 0.8]]).log() + 7]
    together = calibration.mean_probabilities(members).softmax(1)
    assert together.tolist() == [pytest.approx([0.55, 0.45])]


def finished(runs, name, logits, targets, fingerprint="00ff", **settings):
    """A run folder as notebook 05 leaves it, as far as an ensemble looks."""
    run = Run.create(Settings(experiment="quick", epochs=1, lr=1e-3, **settings), name)
    entry = {"status": "done", "data": {"name": "shapes", "fingerprint": fingerprint}}
    write_json(run.file("manifest.json"), {"05_evaluation": entry})
    np.savez_compressed(run.file("predictions.npz"), logits=logits, targets=targets)
    return run


def test_an_ensemble_takes_other_seeds_on_the_same_test_images_alone(runs):
    targets = torch.tensor([0, 1, 1])
    logits = torch.randn(3, 2, generator=torch.manual_seed(0))
    run = finished(runs, "a", logits, targets)
    finished(runs, "again", logits, targets)
    finished(runs, "b", logits + 1, targets, seed=1)
    finished(runs, "wider", logits, targets, seed=2, batch_size=64)
    finished(runs, "other-data", logits, targets, fingerprint="11", seed=3)
    finished(runs, "other-images", logits, targets.flip(0), seed=4)
    broken = finished(runs, "broken", logits, targets, seed=5)
    broken.file("predictions.npz").write_bytes(b"no archive")
    (runs / "notes.txt").write_text("not a run")
    found = calibration.sibling_logits(run, targets, "00ff")
    assert list(found) == [1]
    assert found[1].equal(logits + 1)


def test_a_run_elsewhere_has_no_siblings(runs, tmp_path):
    run = finished(runs, "a", torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    elsewhere = Run(tmp_path / "elsewhere", run.settings)
    assert calibration.sibling_logits(elsewhere, torch.zeros(1), "00ff") == {}


def test_the_figures_are_drawn(network, split):
    images = torch.randn(2, 3, 8, 8, generator=torch.manual_seed(0))
    look = gradcam.grad_cam(network, images, torch.tensor([0, 1]))
    names = [["a", "a class with a very long name"]] * 3
    clean = corruptions.counted(torch.ones(3, dtype=torch.bool))
    shown = split.images[:2].permute(0, 2, 3, 1).numpy()
    bins = [{"count": 30, "confidence": 0.5, "accuracy": 0.4}, {"count": 0}]
    drawn = [
        figures.grad_cam(shown, [look, look], names),
        figures.corruptions(corruptions.corruption_curve(network, split, MEAN, STD, CPU), clean),
        figures.attacks(attacks.attack_curve(network, split, MEAN, STD, CPU.device), 0.5),
        figures.temperature(bins, bins),
    ]
    for figure in drawn:
        figure.savefig(BytesIO(), dpi=30)
