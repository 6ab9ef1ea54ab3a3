"""The figures of notebook 02, and what their captions and alternative texts say of the data."""

import pytest
import torch

from lab_utils.data import figures
from lab_utils.data.dataset import Dataset, Split
from lab_utils.data.findings import what_we_found


def split(counts, fill=lambda c: 20 * c):
    """``counts[c]`` images of class c, each filled with ``fill(c)``."""
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    values = torch.tensor([fill(c) for c in range(len(counts))], dtype=torch.uint8)[targets]
    return Split(values.view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous(), targets)


@pytest.fixture
def dataset():
    return Dataset(
        "folder", "Pets", "", "", ("cat", "dog", "eel"), split([9, 9, 4]), split([2] * 3), ""
    )


def test_class_counts_tell_the_counts(dataset):
    drawing = figures.class_counts(dataset)
    assert (
        drawing.caption
        == "Images per class of Pets: 22 for training and 6 held out for validation."
    )
    assert "3 classes: 4 to 9 training images each, then 2 validation images each" in drawing.alt
    widths = [bar.get_width() for bar in drawing.figure.axes[0].patches]
    assert widths == [9, 9, 4, 2, 2, 2]


def test_samples_are_the_first_images_of_each_class_row_by_row(dataset):
    drawing = figures.samples(dataset)
    assert "The first 4 training images of each class of Pets, 16 by 16 pixels" in drawing.caption
    assert "3 rows, one per class from cat to eel, with 4 images in each row" in drawing.alt
    picture = drawing.figure.axes[0].images[0].get_array()
    assert picture.shape == (3 * 17 - 1, 4 * 17 - 1, 3)
    for row in range(3):
        for column in range(4):
            top, left = 17 * row, 17 * column
            assert (picture[top : top + 16, left : left + 16] == 20 * row).all()
    assert (picture[16::17] == 255).all() and (picture[:, 16::17] == 255).all()
    assert [text.get_text() for text in drawing.figure.axes[0].get_yticklabels()] == list(
        dataset.classes
    )


def test_augmentation_names_every_row(dataset):
    images = dataset.train.images[:5]
    drawing = figures.augmentation(
        {"original": images, "flip": images.flip(3), "crop by 12": images}
    )
    assert drawing.caption.endswith("augmentation: flip; crop by 12.")
    assert "3 rows and 5 columns" in drawing.alt


def test_the_mean_images_name_the_brightest_and_the_darkest_class(dataset):
    means = torch.stack([torch.full((3, 16, 16), value) for value in (0.5, 0.2, 0.9)])
    drawing = figures.mean_images(means, dataset)
    assert "about 7 images each" in drawing.caption
    assert "The brightest is that of eel, the darkest that of dog." in drawing.alt


def test_the_histogram_tells_the_share_of_clipped_pixels(dataset):
    shares = torch.zeros(3, 256)
    shares[:, 0], shares[:, 100], shares[:, 255] = 0.25, 0.7, 0.05
    drawing = figures.pixel_histograms(shares, dataset)
    assert "5.0% of the values are 255 and 25.0% are 0" in drawing.alt


def test_every_figure_has_a_file_of_its_own_name(dataset):
    shares, means = torch.full((3, 256), 1 / 256), torch.full((3, 3, 16, 16), 0.5)
    drawings = [
        figures.class_counts(dataset),
        figures.samples(dataset),
        figures.pixel_histograms(shares, dataset),
        figures.mean_images(means, dataset),
        figures.augmentation(
            {"original": dataset.train.images[:2], "same": dataset.train.images[:2]}
        ),
    ]
    assert [drawing.file for drawing in drawings] == [
        "figures/class_counts.svg",
        "figures/samples.png",
        "figures/pixel_histograms.svg",
        "figures/mean_images.png",
        "figures/augmentation.png",
    ]


@pytest.mark.parametrize(
    ("counts", "words"), [([9, 9, 9], "a fair measure"), ([9, 9, 4], "read accuracy with care")]
)
def test_what_was_found_warns_of_classes_that_differ_in_size(counts, words):
    text = what_we_found(
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
