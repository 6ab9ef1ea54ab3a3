"""What the lab promises of its embedded data set."""

import hashlib

import numpy as np
import pytest

from lab_utils import shapes


@pytest.fixture(scope="module")
def train() -> tuple[np.ndarray, np.ndarray]:
    return shapes.generate(2000, seed=0)


@pytest.fixture(scope="module")
def test() -> tuple[np.ndarray, np.ndarray]:
    return shapes.generate(1000, seed=1)


def digests(images: np.ndarray) -> set[bytes]:
    return {hashlib.sha256(image.tobytes()).digest() for image in images}


def test_there_are_ten_distinct_classes():
    assert len(shapes.CLASSES) == len(set(shapes.CLASSES)) == 10


@pytest.mark.parametrize("count", [1, 7, 300])
def test_images_are_32x32_rgb_bytes_and_labels_are_int64(count):
    images, labels = shapes.generate(count, seed=0)
    assert images.shape == (count, 32, 32, 3)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert labels.shape == (count,)
    assert labels.dtype == np.int64


def test_images_use_the_brightness_range_without_saturating(train):
    images, _ = train
    assert images.min() <= 5
    assert images.max() >= 250
    assert 60 < images.mean() < 190
    assert np.isin(images, (0, 255)).mean() < 0.05


def test_every_image_shows_something(train):
    images, _ = train
    assert images.std(axis=(1, 2, 3)).min() > 4


@pytest.mark.parametrize("count", [9, 10, 123])
def test_classes_are_balanced_to_within_one(count):
    _, labels = shapes.generate(count, seed=5)
    per_class = np.bincount(labels, minlength=10)
    assert len(per_class) == 10
    assert per_class.max() - per_class.min() <= 1


def test_classes_come_shuffled(train):
    _, labels = train
    repeats = (labels[1:] == labels[:-1]).mean()
    assert 0.05 < repeats < 0.15


def test_the_same_seed_gives_the_same_images():
    for first, second in zip(shapes.generate(60, 3), shapes.generate(60, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_images():
    (images, labels), (other_images, other_labels) = shapes.generate(60, 3), shapes.generate(60, 4)
    assert (images != other_images).any(axis=(1, 2, 3)).all()
    assert (labels != other_labels).any()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_drawing_in_chunks_does_not_show(monkeypatch, chunk):
    expected, expected_labels = shapes.generate(45, seed=2)
    monkeypatch.setattr(shapes, "_CHUNK", chunk)
    images, labels = shapes.generate(45, seed=2)
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, expected_labels)


def test_the_bytes_are_the_same_on_every_machine():
    images, labels = shapes.generate(200, seed=0)
    stored = images.tobytes() + labels.astype("<i8").tobytes()
    assert hashlib.sha256(stored).hexdigest() == ("PINNED")


def test_no_image_occurs_twice_in_or_across_training_and_test_sets(train, test):
    seen, unseen = digests(train[0]), digests(test[0])
    assert len(seen) == len(train[0])
    assert len(unseen) == len(test[0])
    assert seen.isdisjoint(unseen)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused_in_one_sentence(count):
    with pytest.raises(ValueError, match=f"^count must be at least 1, got {count}$"):
        shapes.generate(count, seed=0)


def colour_statistics(images: np.ndarray) -> np.ndarray:
    """Mean RGB of each image and of its middle, where the figure is, with a constant: (n, 7)."""
    middle = images[:, 10:22, 10:22].mean(axis=(1, 2)) / 255
    return np.column_stack([images.mean(axis=(1, 2)) / 255, middle, np.ones(len(images))])


def test_colour_does_not_reveal_the_class(train, test):
    (images, labels), (test_images, test_labels) = train, test
    red_green_blue = images.mean(axis=(1, 2))
    centres = np.stack([red_green_blue[labels == k].mean(axis=0) for k in range(10)])
    offsets = test_images.mean(axis=(1, 2))[:, None] - centres
    nearest = (offsets**2).sum(axis=2).argmin(axis=1)
    assert (nearest == test_labels).mean() < 0.2
