"""The network that a run trains: its weights follow from the seed, or come from ImageNet."""

from dataclasses import replace

from exports import export_all
import pytest
import torch
from torch.nn.functional import cross_entropy
import torchvision

from lab_utils import LabError
from lab_utils.core.settings import Settings
from lab_utils.data.batches import normalize
from lab_utils.data.dataset import Dataset, Split
from lab_utils.deployment.compare import logits_of
from lab_utils.deployment.formats import open_model
from lab_utils.deployment.pixel_model import load_pixel_model
from lab_utils.model.build import adam, model_options, new_model, origin
from lab_utils.model.networks import build
from lab_utils.model.networks.resnet18 import imagenet_file
from lab_utils.training.checkpoints import Best, load_best, save_best


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


def test_the_same_seed_gives_the_same_weights_and_speednet_its_filters_from_the_images():
    settings = Settings(experiment="smoke", model="speednet", widths=(8, 16, 16), seed=3)
    assert model_options(settings) == {"widths": [8, 16, 16], "whitening_stride": 1}
    one, other = (new_model(settings, tiny()).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    first = one["whiten.weight"]
    assert torch.equal(first[:12], -first[12:])  # both signs of each filter


def test_speednets_first_layer_whitens_the_training_images_at_the_stride_of_the_settings():
    settings = Settings(experiment="smoke", model="speednet", widths=(8, 8, 8), whitening_stride=2)
    noise = torch.randint(256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    dataset = replace(tiny(), train=Split(noise.byte(), tiny().train.targets))
    first = new_model(settings, dataset).whiten
    outputs = first(normalize(dataset.train.images, dataset.normalization))
    assert outputs.shape == (8, 24, 16, 16)  # of 32 x 32 pixels; with a stride of 1 it is 31 x 31
    values = outputs[:, :12].movedim(1, 0).flatten(1)  # the others are these with the other sign
    products = values @ values.T / values.shape[1]
    torch.testing.assert_close(products, torch.eye(12), atol=0.01, rtol=0)
    assert not first.weight.requires_grad


def test_the_batch_norms_of_speednet_weigh_the_newest_batch_with_0_4_unless_the_settings_say_more():
    def momenta(**changes):
        settings = Settings(experiment="smoke", model="speednet", widths=(8, 8, 8), **changes)
        modules = new_model(settings, tiny()).modules()
        return [m.momentum for m in modules if isinstance(m, torch.nn.BatchNorm2d)]

    assert momenta() == [0.4] * 6
    assert momenta(batch_norm_momentum=0.7) == [0.7] * 6


def test_a_networks_other_settings_are_left_to_its_own_defaults():
    settings = Settings(experiment="smoke", batch_norm_momentum=0.25)
    assert model_options(settings) == {}
    model = new_model(settings, tiny())
    momenta = {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.25}


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
    with pytest.raises(LabError, match="damaged or of another network"):
        new_model(PRETRAINED, tiny())


def test_a_fine_tuned_resnet18_is_loaded_and_exported_without_the_imagenet_file(cache, tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), cache)
    model = new_model(PRETRAINED, tiny())
    cache.unlink()
    path = tmp_path / "best.pt"
    best = Best("resnet18", {}, 32, tuple("abcd"), tiny().normalization, 1, 0.25)
    save_best(path, model, best)
    assert torch.equal(load_best(path)[0].conv1.weight, model.conv1.weight)
    exported, about = load_pixel_model(path)
    images = torch.randint(256, (2, 3, 32, 32)).byte()
    expected = logits_of(exported, images)
    for file in export_all(exported, about, tmp_path / "exports").values():
        found = logits_of(open_model(file).run, images)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_each_parameter_has_one_rate_and_only_speednets_head_a_large_one(model):
    groups = adam(model).param_groups
    rates = {parameter: group["lr"] for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates)
    assert set(rates) == set(model.parameters())
    large = [name for name, parameter in model.named_parameters() if rates[parameter] > 1e-3]
    assert large == (["head.weight"] if type(model).__name__ == "SpeedNet" else [])


def test_speednet_learns_a_batch_by_heart_within_a_hundred_steps():
    torch.manual_seed(0)
    images, targets = torch.randn(20, 3, 16, 16), torch.arange(20) % 10
    model = build("speednet", image_size=16, widths=[16, 32, 32])
    model.init_whitening(images)
    optimizer = adam(model)
    for _ in range(100):
        loss = cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.05:
            break
    assert loss < 0.05


def test_weights_from_imagenet_are_not_called_untrained():
    settings = Settings(experiment="smoke", model="resnet18", pretrained=True)
    assert origin(settings) == "pretrained"
    assert origin(settings.model_copy(update={"pretrained": False})) == "untrained"
