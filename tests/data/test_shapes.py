"""What the lab promises of its embedded data set."""

import hashlib

import numpy as np
import pytest

from lab_utils.data import shapes


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 32, 32, 3) and labels, as they are drawn for ``seed``."""
    images, labels = shapes.generate(count, seed)
    return images.transpose(0, 2, 3, 1), labels


@pytest.fixture(scope="module")
def training() -> tuple[np.ndarray, np.ndarray]:
    return generate(2000, seed=0)


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, np.ndarray]:
    return generate(1000, seed=1)


def digests(images: np.ndarray) -> set[bytes]:
    return {hashlib.sha256(image.tobytes()).digest() for image in images}


def test_there_are_ten_distinct_classes():
    assert len(shapes.CLASSES) == len(set(shapes.CLASSES)) == 10


@pytest.mark.parametrize("count", [1, 7, 300])
def test_images_are_3x32x32_bytes_and_labels_are_int64(count):
    images, labels = shapes.generate(count, seed=0)
    assert images.shape == (count, 3, 32, 32)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert labels.shape == (count,)
    assert labels.dtype == np.int64


def test_images_use_the_brightness_range_without_saturating(training):
    images, _ = training
    assert images.min() <= 5
    assert images.max() >= 250
    assert 60 < images.mean() < 190
    assert np.isin(images, (0, 255)).mean() < 0.05


def test_every_image_shows_something(training):
    images, _ = training
    assert images.std(axis=(1, 2, 3)).min() > 8


@pytest.mark.parametrize("count", [9, 10, 123])
def test_classes_are_balanced_to_within_one(count):
    _, labels = shapes.generate(count, seed=5)
    per_class = np.bincount(labels, minlength=10)
    assert len(per_class) == 10
    assert per_class.max() - per_class.min() <= 1


def test_classes_come_shuffled(training):
    _, labels = training
    repeats = (labels[1:] == labels[:-1]).mean()
    assert 0.05 < repeats < 0.15


def test_the_same_seed_gives_the_same_images():
    for first, second in zip(shapes.generate(60, 3), shapes.generate(60, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_images():
    (images, labels), (other_images, other_labels) = shapes.generate(60, 3), shapes.generate(60, 4)
    assert (images != other_images).any(axis=(1, 2, 3)).all()
    assert (labels != other_labels).any()


def test_the_bytes_are_the_same_on_every_machine():
    images, labels = generate(200, seed=0)
    stored = images.tobytes() + labels.astype("<i8").tobytes()
    assert hashlib.sha256(stored).hexdigest() == (
        "fb920e9557d78223a22e77d97c964f7244b69531090a866b111029688b94dd30"
    )


def test_no_image_occurs_twice_in_or_across_training_and_test_sets(training, held_out):
    seen, unseen = digests(training[0]), digests(held_out[0])
    assert len(seen) == len(training[0])
    assert len(unseen) == len(held_out[0])
    assert seen.isdisjoint(unseen)


def test_the_test_split_shares_no_image_with_the_training_split():
    train, test = (shapes.read(split).pixels for split in ("train", "test"))
    assert (len(train), len(test)) == (10_000, 2_000)
    assert digests(train).isdisjoint(digests(test))


def mean_colour(images: np.ndarray) -> np.ndarray:
    """Return the mean RGB of each image, in [0, 1]."""
    return images.mean(axis=(1, 2)) / 255


def hue_in_the_middle(images: np.ndarray) -> np.ndarray:
    """Return the shares of R, G and B in the middle of each image, where the figure usually is."""
    middle = images[:, 12:20, 12:20].mean(axis=(1, 2)) + 1
    return middle / middle.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("statistic", [mean_colour, hue_in_the_middle])
def test_colour_does_not_reveal_the_class(training, held_out, statistic):
    (images, labels), (test_images, test_labels) = training, held_out
    features, test_features = statistic(images), statistic(test_images)
    class_means = np.stack([features[labels == k].mean(axis=0) for k in range(10)])
    distances = ((test_features[:, None] - class_means) ** 2).sum(axis=2)
    accuracy = (distances.argmin(axis=1) == test_labels).mean()
    assert accuracy < 0.15  # chance is 0.10, give or take 0.01 on 1,000 images
