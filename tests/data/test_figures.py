"""The figures of notebook 02, and what their captions and alternative texts say of the data."""

from dataclasses import replace

import pytest
import torch

from lab_utils.data import figures
from lab_utils.data.dataset import Dataset, Split


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


def test_of_very_many_classes_the_smallest_are_counted(dataset):
    counts = [5] * 200
    counts[7] = counts[150] = 2
    many = replace(
        dataset, classes=tuple(f"class {c}" for c in range(200)),
        train=split(counts, lambda c: c), val=split([1] * 200, lambda c: c),
    )  # fmt: skip
    drawing = figures.class_counts(many)
    (ax,) = drawing.figure.axes
    assert drawing.caption.endswith("held out for validation; the 40 smallest of 200 classes.")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert len(names) == 40 and {"class 7", "class 150"} < set(names)
    assert drawing.figure.get_size_inches()[1] < 9  # a page


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


def test_flip_and_crop_shows_views_of_any_size(dataset):
    image = dataset.train.images[0]
    bordered = torch.nn.functional.pad(image, (4,) * 4)
    drawing = figures.flip_and_crop({"as it is": image, "with a border": bordered})
    shown = [picture.get_array().shape for picture in drawing.figure.axes[0].images]
    assert shown == [(16, 16, 3), (24, 24, 3)]
    assert drawing.caption == "One training image: as it is, with a border."


def test_the_mean_images_name_the_brightest_and_the_darkest_class(dataset):
    means = torch.stack([torch.full((3, 16, 16), value) for value in (0.5, 0.2, 0.9)])
    drawing = figures.mean_images(means, means / 2, dataset)
    assert "about 7 images each" in drawing.caption
    assert "The brightest is that of eel, the darkest that of dog." in drawing.alt
    values = [picture.get_array()[0, 0, 0] for picture in drawing.figure.axes[0].images]
    assert values == pytest.approx([0.5, 0.25, 0.2, 0.1, 0.9, 0.45])  # each above its contrast
    titles = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert titles == ["cat", "", "dog", "", "eel", ""]


@pytest.mark.parametrize(("classes", "rows"), [(3, 2), (10, 2), (12, 4), (25, 4)])
def test_mean_images_have_at_most_ten_columns_and_twenty_classes(dataset, classes, rows):
    many = replace(dataset, classes=tuple(f"c{i}" for i in range(classes)))
    means = torch.full((classes, 3, 16, 16), 0.5)
    ax = figures.mean_images(means, means, many).figure.axes[0]
    assert len(ax.images) == 2 * min(classes, 20)
    tops = {round(picture.get_extent()[3], 3) for picture in ax.images}
    assert len(tops) == rows


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
        figures.mean_images(means, means, dataset),
        figures.augmentation(
            {"original": dataset.train.images[:2], "same": dataset.train.images[:2]}
        ),
    ]
    drawings.append(figures.flip_and_crop({"as it is": dataset.train.images[0]}))
    assert [drawing.file for drawing in drawings] == [
        "figures/class_counts.svg",
        "figures/samples.png",
        "figures/pixel_histograms.svg",
        "figures/mean_images.png",
        "figures/augmentation.png",
        "figures/flip_and_crop.png",
    ]
