"""The figures of notebook 02: what is in the data."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid

from lab_utils.core import drawing
from lab_utils.core.drawing import Drawing, new_figure, styled
from lab_utils.data.dataset import Dataset
from lab_utils.setup.figures import CHANNELS
from lab_utils.setup.image_grid import ImageGrid, image_grid

_MOST = 20  # classes in a grid of images
_BARS = 40  # more would be a strip that nobody can read


@styled
def class_counts(dataset: Dataset) -> Drawing:
    """A bar per class: its training images, then its validation images; of the 40 smallest."""
    classes, splits = dataset.classes, (dataset.train, dataset.val)
    train, val = (torch.bincount(x.targets, minlength=len(classes)).numpy() for x in splits)
    few = np.sort(np.argsort(train + val, kind="stable")[:_BARS])  # in the order of the classes
    names = [classes[i] for i in few]
    figure, ax = new_figure(6.4, max(2.0, 0.18 * len(few) + 0.6))
    ax.barh(names, train[few], color=drawing.BLUE, label="training")
    bars = ax.barh(names, val[few], left=train[few], color=drawing.ORANGE, label="validation")
    totals = [f"{total:,}" for total in (train + val)[few]]
    ax.bar_label(bars, totals, padding=3, fontsize=8, color=drawing.GRAY)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.1)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("images")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    ranges = [f"{x.min():,} to {x.max():,}" if np.ptp(x) else f"{x[0]:,}" for x in (train, val)]
    most = f"; the {_BARS} smallest of {len(classes)} classes" if len(classes) > _BARS else ""
    return Drawing(
        "class_counts", figure,
        f"Images per class of {dataset.title}: {train.sum():,} for training and {val.sum():,} held "
        f"out for validation{most}.",
        f"Horizontal bars, one for each of {len(few)} classes: {ranges[0]} training images "
        f"each, then {ranges[1]} validation images each.",
    )  # fmt: skip


def samples(dataset: Dataset) -> Drawing:
    """The first eight training images of each class, of the first twenty classes."""
    images, targets = dataset.train.images, dataset.train.targets
    columns = min(8, int(torch.bincount(targets).min()))
    labels = dataset.classes[:_MOST]
    rows = torch.stack([images[targets == c][:columns] for c in range(len(labels))])
    return Drawing(
        "samples", _image_rows(rows, labels),
        f"The first {columns} training images of each class of {dataset.title}, "
        f"{images.shape[3]} by {images.shape[2]} pixels each.",
        f"A grid of small colour images: {len(labels)} rows, one per class from {labels[0]} to "
        f"{labels[-1]}, with {columns} images in each row.",
    )  # fmt: skip


def augmentation(variants: Mapping[str, Tensor]) -> Drawing:
    """The same images row by row, first as they are, then as each recipe of that name makes them.

    Each row is (columns, 3, H, W) uint8.
    """
    rows, recipes = torch.stack(list(variants.values())), "; ".join(list(variants)[1:])
    return Drawing(
        "augmentation", _image_rows(rows, list(variants)),
        f"Training images before and after augmentation: {recipes}.",
        f"A grid of {len(rows)} rows and {rows.shape[1]} columns of small images: the originals, "
        f"and below each of them what became of it. The rows: {recipes}.",
    )  # fmt: skip


@styled
def _image_rows(images: Tensor, labels: Sequence[str]) -> drawing.LabFigure:
    """(rows, columns, 3, H, W) uint8 images as one picture, with a label left of each row."""
    rows, columns, _, height, width = images.shape
    gap = max(1, width // 16)
    picture = make_grid(images.flatten(0, 1), columns, gap, pad_value=255).permute(1, 2, 0)
    figure, ax = new_figure(1.3 + 0.7 * columns, 0.7 * rows)
    ax.imshow(picture.numpy()[gap:-gap, gap:-gap], interpolation="nearest")
    ax.set_yticks(np.arange(rows) * (height + gap) + height / 2, labels, fontsize=10.5)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    return figure


def flip_and_crop(views: Mapping[str, Tensor]) -> Drawing:
    """One image in several views by name, each (3, height, width) uint8, of any size."""
    shown = [view.permute(1, 2, 0).numpy() for view in views.values()]
    names = list(views)
    return Drawing(
        "flip_and_crop", image_grid(shown, names, columns=len(names), size=1.3),
        f"One training image: {', '.join(names)}.",
        f"The same small image {len(names)} times: {', '.join(names)}.",
    )  # fmt: skip


def mean_images(means: Tensor, contrast: Tensor, dataset: Dataset) -> Drawing:
    """The mean image of each class, and how it differs from that of all classes.

    Both are (classes, 3, H, W) floats in 0..1; in ``contrast`` 0.5 is no difference.
    """
    names, columns = dataset.classes[:_MOST], min(10, len(dataset.classes))
    grid = ImageGrid(2 * -(-len(names) // columns), columns, size=0.66, lines=1)
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        for down, images, title in ((0, means, name), (1, contrast, "")):
            image = images[i].permute(1, 2, 0).numpy()  # a mean has no hard pixels: bicubic
            grid.show((2 * row + down, column), image, title, interpolation="bicubic")
    brightness = means.mean((1, 2, 3))
    brightest, darkest = (dataset.classes[i] for i in (brightness.argmax(), brightness.argmin()))
    return Drawing(
        "mean_images", grid.figure,
        f"The mean of the training images of each class of {dataset.title}, about "
        f"{len(dataset.train) / len(means):,.0f} images each; below it, with more contrast, how it "
        "differs from the mean of all classes (grey: not at all).",
        f"{len(names)} blurred colour images, one per class. The brightest is that of {brightest}, "
        f"the darkest that of {darkest}. Below each the same with the common part taken away.",
    )  # fmt: skip


@styled
def pixel_histograms(shares: Tensor, dataset: Dataset) -> Drawing:
    """How often each of the 256 pixel values occurs, per channel; (3, 256) shares that sum to 1."""
    means, colors = dataset.normalization.mean, (drawing.RED, drawing.GREEN, drawing.BLUE)
    figure, ax = new_figure(6.4, 2.0)
    for name, color, share, mean in zip(CHANNELS, colors, shares, means, strict=True):
        ax.step(np.arange(256), 100 * share, where="mid", color=color, lw=1, label=name)
        ax.axvline(255 * mean, color=color, ls=(0, (4, 3)), lw=1)
    ax.set(xlim=(-2, 257), ylim=0, xticks=[*range(0, 256, 32), 255])
    ax.set(xlabel="pixel value (dashed: the channel's mean)", ylabel="% of pixels")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3)
    return Drawing(
        "pixel_histograms", figure,
        f"How often each pixel value occurs in the training images of {dataset.title}; dashed "
        "lines mark the mean of each channel.",
        "Three curves over the pixel values 0 to 255, for red, green and blue, with means at "
        f"{', '.join(f'{255 * m:.0f}' for m in means)}; {shares[:, 255].mean():.1%} of the values "
        f"are 255 and {shares[:, 0].mean():.1%} are 0.",
    )  # fmt: skip
