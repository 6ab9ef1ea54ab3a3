"""Each augmentation against torchvision's definition of it; normalisation against NumPy."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from lab_utils import LabError
from lab_utils.core.settings import Settings
from lab_utils.data import augment
from lab_utils.data.batches import (
    Augmentation,
    Batches,
    border,
    crop,
    cut_out,
    normalize,
    training_batches,
)  # fmt: skip
from lab_utils.data.dataset import Dataset, Normalization, Split

NORMAL = Normalization((0.49, 0.48, 0.45), (0.25, 0.24, 0.26))
BYTES = Normalization((0.0,) * 3, (1 / 255,) * 3)  # leaves the pixels as they are


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)


@pytest.fixture
def split(images):
    return Split(images, torch.arange(40))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_normalisation_is_numpys(images):
    x = images.numpy().astype(np.float64) / 255
    expected = (x - np.reshape(NORMAL.mean, (1, 3, 1, 1))) / np.reshape(NORMAL.std, (1, 3, 1, 1))
    np.testing.assert_allclose(normalize(images, NORMAL).numpy(), expected, atol=1e-6)
    assert normalize(images[:0], NORMAL).shape == (0, 3, 32, 32)


@pytest.mark.parametrize(("padding", "fill"), [(4, "zero"), (2, "reflect"), (0, "zero")])
def test_every_crop_is_torchvisions_pad_then_crop(images, padding, fill):
    padded = tv.pad(images, [padding], padding_mode={"zero": "constant"}.get(fill, fill))
    bordered = border(images, padding, fill)
    offsets = 2 * padding + 1
    chosen, top, left = torch.cartesian_prod(
        torch.arange(40), torch.arange(offsets), torch.arange(offsets)
    ).T[:, torch.randperm(40 * offsets**2, generator=generator())]
    crops = crop(bordered, chosen, top, left, padding)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for got, image, y, x in zip(crops, chosen, top.tolist(), left.tolist(), strict=True):
        assert torch.equal(got, tv.crop(padded[image], y, x, 32, 32))


def test_a_crop_of_the_mirror_image_is_torchvisions_flipped_crop(images):
    mirrored, padded = border(images, 4).flip(2), tv.pad(images, [4])
    top, left = torch.randint(9, (2, 40), generator=generator())
    crops = crop(mirrored, torch.arange(40), top, 8 - left, 4)
    for got, image, y, x in zip(crops, padded, top.tolist(), left.tolist(), strict=True):
        assert torch.equal(got, tv.horizontal_flip(tv.crop(image, y, x, 32, 32)))


@pytest.mark.parametrize("centre", [(16, 16), (0, 0), (31, 2)])
def test_cutout_is_torchvisions_erase_clipped_at_the_border(images, centre):
    side = 8
    inputs = normalize(images, NORMAL)
    got = cut_out(inputs, torch.tensor([centre] * 40), side)
    top, left = max(0, centre[0] - 4), max(0, centre[1] - 4)
    height, width = min(32, centre[0] + 4) - top, min(32, centre[1] + 4) - left
    expected = tv.erase(inputs, top, left, height, width, torch.zeros(3, 1, 1))
    assert torch.equal(got, expected)


def test_a_training_epoch_has_every_image_once(split):
    batches = Batches(split, 16, NORMAL, generator=generator())
    sizes, targets = zip(*((len(y), y) for _, y in batches), strict=True)
    assert sizes == (16, 16, 8)
    assert len(batches) == 3
    assert sorted(torch.cat(targets).tolist()) == list(range(40))


def test_each_training_image_is_one_of_random_crops_outcomes(split):
    augmentation = Augmentation(flip=True, crop_padding=2)
    batches = Batches(split, 40, BYTES, "cpu", augmentation, generator())
    inputs, targets = next(iter(batches))
    for image, target in zip(inputs.round().to(torch.uint8), targets, strict=True):
        crops = tv.pad(split.images[target], [2]).unfold(1, 32, 1).unfold(2, 32, 1)
        crops = crops.flatten(1, 2).transpose(0, 1)
        outcomes = torch.cat([crops, crops.flip(-1)])
        assert (outcomes == image).flatten(1).all(1).any()


def test_offsets_and_flips_are_uniform():
    # A single pixel at a known place tells which crop and which side was drawn.
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[0, :, 16, 10] = 255
    split = Split(image.expand(9000, -1, -1, -1), torch.zeros(9000, dtype=torch.int64))
    augmentation = Augmentation(flip=True, crop_padding=1)
    batches = Batches(split, 9000, BYTES, "cpu", augmentation, generator())
    places = next(iter(batches))[0][:, 0].flatten(1).argmax(1)
    counts = places.bincount()
    assert (counts > 0).sum() == 18  # 3 x 3 offsets, two sides
    assert counts[counts > 0].min() > 400  # 500 expected of each
    assert counts.max() < 600


def test_without_a_generator_images_come_in_order_and_unchanged(split):
    batches = Batches(split, 7, NORMAL, augmentation=Augmentation(True, 4, 8, mixup=1.0))
    inputs = torch.cat([x for x, _ in batches])
    assert torch.equal(inputs, normalize(split.images, NORMAL))
    assert inputs.dtype == torch.float32


def test_the_order_follows_from_the_generators_state(split):
    batches = Batches(split, 16, NORMAL, "cpu", Augmentation(True, 4, 6), generator())
    state = batches.generator.get_state()
    first = torch.cat([x for x, _ in batches])
    second = torch.cat([x for x, _ in batches])
    batches.generator.set_state(state)
    assert torch.equal(first, torch.cat([x for x, _ in batches]))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("fill", "darkest"), [("zero", 0), ("reflect", 255)])
def test_a_crop_beyond_the_border_shows_what_the_recipe_fills_it_with(fill, darkest):
    split = Split(torch.full((50, 3, 8, 8), 255, dtype=torch.uint8), torch.zeros(50).long())
    recipe = Augmentation(crop_padding=3, crop_fill=fill)
    ((inputs, _),) = Batches(split, 50, BYTES, "cpu", recipe, generator())
    assert inputs.min() == darkest


def test_cutout_hides_a_square_of_each_image_at_a_place_of_its_own():
    white = torch.full((300, 3, 32, 32), 255, dtype=torch.uint8)
    split = Split(white, torch.zeros(300, dtype=torch.int64))
    ((inputs, _),) = Batches(split, 300, BYTES, "cpu", Augmentation(cutout=8), generator())
    hidden = (inputs == 0).all(1)
    assert torch.equal(hidden, (inputs == 0).any(1))
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(hidden.sum((1, 2)), rows * columns)  # a rectangle
    assert {rows.max().item(), columns.max().item()} == {8}
    assert min(rows.min(), columns.min()) == 4  # half of it is outside
    assert len(hidden.flatten(1).unique(dim=0)) > 200  # of 1,024 places
    assert hidden.any(0).all()


@pytest.mark.parametrize("shuffled", [True, False])
def test_every_image_keeps_its_own_label_however_many_there_are(shuffled):
    """Image i holds i in its colours, the low byte in red and the high one in green."""
    numbers = torch.arange(10_000)
    colours = torch.stack([numbers % 256, numbers // 256, numbers % 1], 1).to(torch.uint8)
    split = Split(colours[:, :, None, None].expand(-1, -1, 4, 4), numbers)
    recipe = Augmentation(flip=True, crop_padding=1)
    batches = Batches(split, 300, BYTES, "cpu", recipe, generator() if shuffled else None)
    seen = []
    for inputs, targets in batches:
        red, green, _ = inputs[:, :, 2, 2].round().T  # within the image, wherever it is cut
        assert torch.equal((red + 256 * green).long(), targets)
        seen.append(targets)
    assert torch.equal(torch.cat(seen).sort().values, numbers)


def test_a_batch_larger_than_the_data_is_refused(split):
    with pytest.raises(LabError, match="batch_size=41 is larger than the 40"):
        Batches(split, 41, NORMAL, generator=generator())


def test_alternating_flip_shows_both_sides_in_two_epochs_whichever_epoch_comes_first(split):
    augmentation = Augmentation(flip=True, alternate_flip=True)
    batches = Batches(split, 40, BYTES, "cpu", augmentation, generator())
    sides = []
    for _ in range(4):
        inputs, targets = next(iter(batches))
        flipped = torch.empty(40, dtype=torch.bool)
        flipped[targets] = (
            (inputs.round().to(torch.uint8) != split.images[targets]).flatten(1).any(1)
        )
        sides.append(flipped)
    assert torch.equal(sides[0], ~sides[1])
    assert torch.equal(sides[0], sides[2])
    assert torch.equal(sides[1], sides[3])
    assert 8 < sides[0].sum() < 32


@pytest.mark.parametrize("side", [32, 17])
def test_rotation_is_torchvisions(images, side):
    inputs = images[..., :side, :side] / 255
    degrees = torch.linspace(-179, 179, 40)
    expected = [tv.rotate(x, a.item()) for x, a in zip(inputs, degrees, strict=True)]
    different = augment.rotate(inputs, degrees) != torch.stack(expected)
    assert different.float().mean() < 1e-3  # a pixel midway between two may take either


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colour_jitter_is_torchvisions(images, name):
    inputs = images / 255
    inputs[:, 1, :8] = inputs[:, 0, :8]  # two channels alike, and greys: no hue of their own
    inputs[:, :, :4] = inputs[:, :1, :4]
    inputs[0] = 0
    factors = torch.linspace(-0.5, 0.5, 40) if name == "hue" else torch.linspace(0, 2, 40)
    ours = augment.shift_hue if name == "hue" else getattr(augment, f"adjust_{name}")
    theirs = getattr(tv, f"adjust_{name}")
    expected = [theirs(x, f.item()) for x, f in zip(inputs, factors, strict=True)]
    torch.testing.assert_close(ours(inputs, factors), torch.stack(expected), atol=1e-5, rtol=0)


def test_each_image_is_rotated_by_its_own_angle_up_to_the_limit():
    # The pixel at the right end of the middle row moves up or down by the sine of the angle.
    image = torch.zeros(1, 3, 65, 65, dtype=torch.uint8)
    image[..., 32, 60:] = 200
    out = augment.distort(image.expand(500, -1, -1, -1), 30, (0, 0, 0, 0), generator())
    y, x = torch.stack([i[0].nonzero().float().mean(0) for i in out]).numpy().T
    angles = np.degrees(np.arctan2(32 - y, x - 32))
    assert angles.min() == pytest.approx(-30, abs=2)
    assert angles.max() == pytest.approx(30, abs=2)
    assert np.abs(np.histogram(angles, 5, (-31, 31))[0] - 100).max() < 35


def test_each_image_draws_its_own_factor_up_to_the_limit():
    images = torch.full((500, 3, 8, 8), 100, dtype=torch.uint8)
    out = augment.distort(images, 0, (0.3, 0, 0, 0), generator())[:, 0, 0, 0]
    assert out.min() in (70, 71)
    assert out.max() in (129, 130)
    assert len(out.unique()) > 50


def test_rotated_and_jittered_batches_follow_from_the_generators_state(split):
    augmentation = Augmentation(rotation=10, color_jitter=(0.2, 0.2, 0.2, 0.1))
    batches = Batches(split, 16, NORMAL, "cpu", augmentation, generator())
    state = batches.generator.get_state()
    first = torch.cat([x for x, _ in batches])
    batches.generator.set_state(state)
    again = torch.cat([x for x, _ in batches])
    assert torch.equal(first, again)
    plain = Batches(split, 16, NORMAL, "cpu", Augmentation(), generator())
    assert not torch.equal(first, torch.cat([x for x, _ in plain]))


def test_each_epoch_has_images_of_its_side_and_the_last_side_stays(images, split):
    recipe = Augmentation(train_sides=(16, 24, 32))
    batches = Batches(split, 40, BYTES, augmentation=recipe, generator=generator())
    for side in (16, 24, 32, 32):
        ((inputs, targets),) = batches
        assert inputs.shape == (40, 3, side, side)
        expected = tv.resize(images[targets], [side, side], antialias=True)
        torch.testing.assert_close(inputs, expected.float(), atol=1.0, rtol=0)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_mixed_batches_tell_the_shares_of_the_images_that_are_in_each(mixup, cutmix):
    """Image i is all i: what a mixed image holds shows how much of which image is in it."""
    values = torch.arange(4.0)
    images = values.to(torch.uint8).view(4, 1, 1, 1).expand(4, 3, 8, 8)
    recipe = Augmentation(mixup=mixup, cutmix=cutmix, classes=4)
    batches = Batches(Split(images, torch.arange(4)), 4, BYTES, "cpu", recipe, generator())
    torch.manual_seed(0)
    added = 0
    for _ in range(40):
        ((inputs, shares),) = batches
        torch.testing.assert_close(shares.sum(1), torch.ones(4))
        assert inputs.amin() >= 0 and inputs.amax() <= 3
        torch.testing.assert_close(inputs.mean((1, 2, 3)), shares @ values)
        added += not torch.equal(inputs, inputs.round())
    expected = {(0.4, 0.0): range(35, 41), (0.0, 1.0): range(1)}.get((mixup, cutmix), range(8, 33))
    assert added in expected


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_shares_of_mixup_are_drawn_from_its_beta_distribution(alpha):
    torch.manual_seed(0)
    mix, inputs, targets = augment.mixing(alpha, 0.0, 2), torch.zeros(2, 3, 1, 1), torch.arange(2)
    shares = torch.stack([mix(inputs, targets)[1][0, 0] for _ in range(1000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.05)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_a_batch_is_mixed_by_the_global_generator_and_ordered_by_its_own(split):
    recipe = Augmentation(mixup=1.0, classes=40)
    shares, states = [], []
    for seed in (1, 1, 2):
        batches = Batches(split, 40, NORMAL, "cpu", recipe, generator())
        torch.manual_seed(seed)
        shares += [next(iter(batches))[1]]
        states += [batches.generator.get_state()]
    assert torch.equal(shares[0], shares[1]) and not torch.equal(shares[0], shares[2])
    assert torch.equal(states[0], states[2])


def test_every_augmentation_of_the_settings_reaches_the_batches(split):
    dataset = Dataset("x", "", "", "", tuple("abcdefghij"), split, split, "")
    chosen = {"flip": False, "crop_padding": 2, "cutout": 3, "alternate_flip": True, "mixup": 0.2,
              "crop_fill": "reflect", "rotation": 5.0, "color_jitter": (0.1, 0.2, 0.3, 0.4),
              "cutmix": 0.3, "train_sides": (16, 32)}  # fmt: skip
    settings = Settings(experiment="x", model="speednet", batch_size=8, **chosen)
    batches = training_batches(settings, dataset, torch.device("cpu"))
    assert vars(batches.augmentation) == chosen | {"classes": 10}
    assert batches.batch_size == 8
