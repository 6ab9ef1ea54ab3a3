"""The figures of notebook 02: what is in the data."""

from collections.abc import Sequence

from matplotlib.ticker import StrMethodFormatter
import numpy as np

from lab_utils.core.drawing import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    LabFigure,
    image_grid,
    new_figure,
    styled,
)


@styled
def class_counts(
    train_counts: Sequence[int], val_counts: Sequence[int], classes: Sequence[str]
) -> LabFigure:
    """A bar per class: its training images, then its validation images."""
    figure, ax = new_figure(6.4, max(2.0, 0.18 * len(classes) + 0.6))
    rows = np.arange(len(classes))
    ax.barh(rows, train_counts, color=BLUE, label="training")
    ax.barh(rows, val_counts, left=train_counts, color=ORANGE, label="validation")
    totals = np.add(train_counts, val_counts)
    for row, total in zip(rows, totals, strict=True):
        ax.text(total, row, f" {total:,}", va="center", fontsize=8, color=GRAY)
    ax.set_yticks(rows, classes)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.1 * totals.max())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set_xlabel("images")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure


@styled
def image_rows(images: np.ndarray, labels: Sequence[str]) -> LabFigure:
    """(rows, columns, H, W, 3) uint8 images as one picture, with a label left of each row."""
    rows, columns, height, width, _ = images.shape
    gap = max(1, width // 16)
    picture = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8
    )
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            picture[top : top + height, left : left + width] = images[row, column]
    # Whole screen pixels for each pixel of the images, where the figure is shown at 96 dpi.
    scale = (64 // height if height <= 64 else 64 / height) / 96
    tall, wide = scale * picture.shape[0], scale * picture.shape[1]
    figure = LabFigure(figsize=(wide + 1.3, tall + 0.1))
    area = (1.25 / (wide + 1.3), 0.05 / (tall + 0.1), wide / (wide + 1.3), tall / (tall + 0.1))
    ax = figure.add_axes(area)
    ax.imshow(picture, interpolation="nearest")
    ax.set_yticks(np.arange(rows) * (height + gap) + height / 2, labels, fontsize=10.5)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    return figure


@styled
def mean_images(means: np.ndarray, classes: Sequence[str]) -> LabFigure:
    """The mean image of each class: (classes, H, W, 3) floats in 0..1."""
    # A mean has no hard pixels.
    return image_grid(means, list(classes), columns=5, size=0.9, interpolation="bicubic")


@styled
def pixel_histograms(shares: np.ndarray, means: Sequence[float]) -> LabFigure:
    """How often each of the 256 pixel values occurs, per channel; (3, 256) shares that sum to 1."""
    figure, ax = new_figure(6.4, 2.0)
    for name, color, share, mean in zip(
        ("red", "green", "blue"), (RED, GREEN, BLUE), shares, means, strict=True
    ):
        ax.step(np.arange(256), 100 * share, where="mid", color=color, lw=1, label=name)
        ax.axvline(255 * mean, color=color, ls=(0, (4, 3)), lw=1)
    ax.set_xlim(-2, 257)
    ax.set_ylim(0)
    ax.set_xticks([*range(0, 256, 32), 255])
    ax.set_xlabel("pixel value (dashed: the channel's mean)")
    ax.set_ylabel("% of pixels")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3)
    return figure
