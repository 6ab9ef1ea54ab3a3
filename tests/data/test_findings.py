"""What notebook 02 says in words is computed from the data."""

import pytest
import torch

from lab_utils.data import findings
from lab_utils.data.batches import Augmentation, Batches
from lab_utils.data.dataset import Dataset, Normalization, Split


def dataset(train, val, classes, name="folder", **options):
    """One of images (N, 3, H, W) and targets in each split."""
    parts = [Split(images, torch.tensor(targets)) for images, targets in (train, val)]
    return Dataset(name, "Pets", "a shelf", "free", classes, *parts, "f00d", **options)


def flat(values, size=8):
    """Images of one value each."""
    shape = len(values), 3, size, size
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(shape).contiguous()


@pytest.fixture
def pets():
    train = flat([0, 51, 102, 255, 204]), [0, 0, 0, 1, 1]
    return dataset(train, (flat([51, 204, 204]), [0, 1, 1]), ("cat", "dog"))


def test_the_table_names_what_is_known_of_the_data(pets):
    rows = {row[""]: row[" "] for row in findings.about(pets)}
    assert rows["data set"] == "Pets" and rows["fingerprint"] == "f00d"
    assert rows["one image"] == "3 x 8 x 8, torch.uint8"


def test_the_class_explains_its_share_of_the_brightness(pets):
    text = findings.samples(pets)
    assert "darkest class on average is cat, at 20% " in text and "dog, at 90%" in text
    # By hand, in fifths of full brightness: 0 1 2 | 5 4; mean 2.4, class means 1 and 4.5.
    between = (3 * (1 - 2.4) ** 2 + 2 * (4.5 - 2.4) ** 2) / 5
    whole = sum((x - 2.4) ** 2 for x in (0, 1, 2, 5, 4)) / 5
    assert f"{between / whole:.0%} is between the classes" in text


def test_the_counts_of_a_split_are_of_every_class():
    train = flat([0, 1, 2]), [0, 1, 2]
    pets = dataset(train, (flat([3, 3]), [0, 0]), ("cat", "dog", "eel"))
    found = findings.counts(pets, 1)
    assert found["val_counts"].tolist() == [2, 0, 0] and found["train_counts"].tolist() == [1] * 3
    assert (found["train_images"], found["val_images"], found["images_in_both"]) == (3, 2, 1)


def test_copies_in_both_splits_are_told_aloud(pets):
    assert not findings.split(pets, 0).loud
    assert "remove the copies" in findings.split(pets, 2).loud
    assert findings.split(pets, 2).text == "5 training and 3 validation images, 2 in both."


def test_balance_tells_the_ratio_and_what_a_constant_answer_is_worth(pets):
    text = findings.balance(pets)
    assert "has 1.50 times as many" in text and "right for 66.7% of the validation" in text


def test_published_constants_stand_only_beside_cifar10(pets):
    assert findings.constants(pets)["published_std"] is None
    assert list(findings.statistics(pets)[0]) == ["channel", "mean", "std"]
    assert "often copied" not in findings.copied(pets, torch.ones(5, 3))[0]
    named = dataset((flat([0, 255]), [0, 1]), (flat([9]), [0]), ("a", "b"), name="cifar10")
    row = findings.statistics(named)[2]
    assert row == {
        "channel": "blue", "mean": "0.5000", "std": "0.5000", "published mean": "0.4465",
        "published std": "0.2616",
    }  # fmt: skip
    assert findings.copied(named, torch.ones(2, 3))[0]["often copied"] == "0.2023"


def test_the_difference_to_the_mean_of_roots_is_taken_apart():
    # Two images, each with half its pixels 0: the other half is 255 in one and 51 in the other.
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images[0, :, :4], images[1, :, :4] = 255, 51
    pets = dataset((images, [0, 1]), (flat([9]), [0]), ("a", "b"))
    stds = torch.tensor([[0.5], [0.1]]).expand(2, 3)
    total = (0.13 + 0.04) ** 0.5  # the mean of 0.25 and 0.01, and the variance of 0.5 and 0.1
    row, text = findings.copied(pets, stds)[0], findings.copied_words(pets, stds)
    assert row["std of all pixels"] == f"{total:.4f}"
    assert row["root of the mean within"] == f"{0.13**0.5:.4f}"
    assert row["mean of the images' std"] == "0.3000"
    assert f"have a std of {total / 0.3:.2f} instead of 1" in text
    assert f"{(total - 0.13**0.5) / (total - 0.3):.0%} is lost with the mean colour" in text


def test_pixel_values_tell_clipping_the_darkest_channel_and_the_range():
    shares = torch.zeros(3, 256)
    shares[:, 0], shares[:, 100], shares[:, 255] = 0.25, 0.7, 0.05
    images = flat([0, 255])
    images[:, 1] //= 2
    pets = dataset((images, [0, 1]), (flat([9]), [0]), ("a", "b"))
    text = findings.pixel_values(shares, pets)
    assert "5.0% of all values are 255" in text and "25.0% are 0" in text
    assert "green is the darkest channel, with 0.249; the brightest has 0.500" in text
    assert "from -1.00 to 3.02" in text  # white is (1 - 0.249) / 0.249 above the mean of green


def test_the_closest_and_the_farthest_mean_images_are_named():
    means = torch.tensor([0.1, 0.8, 0.2, 0.5]).view(-1, 1, 1, 1).expand(4, 3, 2, 2)
    text = findings.mean_images(means, ("ant", "bee", "cat", "dog"))
    assert text == (
        "The closest mean images are those of ant and cat; the farthest apart, ant and bee."
    )
    assert "12.5%" in findings.nearest_mean(0.125, dataset(*[(flat([0]), [0])] * 2, ("a", "b")))


@pytest.mark.parametrize("place", [(0, 0), (4, 4), (1, 7), (8, 8)])
def test_the_share_of_border_in_a_window_is_what_is_cut(place):
    image = torch.ones(3, 20, 12)
    bordered = torch.nn.functional.pad(image, (4,) * 4)
    window = bordered[:, place[0] : place[0] + 20, place[1] : place[1] + 12]
    text = findings.window(*place, 4, image.shape)
    assert f"{(window == 0).float().mean():.0%} of what it shows is border" in text
    first, second = window.nonzero()[0, 1:].tolist()  # where the image begins in it
    if place[0] <= 4 and place[1] <= 4:
        assert f"by {first:+d} rows and {second:+d} columns" in text
    assert "There are 81 such windows" in text


def test_black_pixels_are_counted_in_each_row_of_the_augmentation():
    half = flat([200, 200])
    half[:, :, :4] = 0
    half[:, 0] = 7  # one channel alone makes no black pixel
    text = findings.augmentation({"original": half, "dark": flat([0, 9])})
    assert text == "Black pixels in each row: original 0%; dark 50%."


def test_batches_and_variants_are_counted():
    normal = Normalization((0.5,) * 3, (0.2,) * 3)
    recipe, generator = Augmentation(flip=True, crop_padding=1), torch.Generator()
    made = Batches(Split(flat([1] * 7), torch.arange(7)), 3, normal, "cpu", recipe, generator)
    text = findings.batches(made, 6)
    assert "is 3 batches: 3 images each, 1 in the last" in text
    assert "18 variants of each image" in text and "this run 6" in text


def test_two_ways_to_load_are_compared_by_images_per_second():
    text = findings.loading(1000, {"one by one": 2.0, "whole batches": 0.5})
    assert text == ("One by one: 500 images per second; whole batches: 2,000, 4 times as many.")


@pytest.mark.parametrize(
    ("counts", "words"), [([9, 9, 9], "a fair measure"), ([9, 9, 4], "read accuracy with care")]
)
def test_what_was_found_warns_of_classes_that_differ_in_size(counts, words):
    text = findings.what_we_found(
        {
            "train_images": sum(counts),
            "val_images": 6,
            "images_in_both": 0,
            "train_counts": torch.tensor(counts),
            "val_counts": torch.tensor([2, 2, 2]),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
            "nearest_mean_accuracy": 0.4,
        }
    )
    assert words in text
    assert "33.3%" in text and "40.0%" in text
    assert f"{sum(counts)} training and 6 validation images, 0 in both" in text
