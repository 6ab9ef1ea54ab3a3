"""Notebook 02 in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab_utils.core.show import Notice
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Dataset, Normalization
from lab_utils.setup.figures import CHANNELS

# Of all 50,000 training images; such as in the source of many published recipes.
PUBLISHED = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
COPIED = (0.2023, 0.1994, 0.2010)  # the mean of the images' own standard deviations


def about(dataset: Dataset) -> list[dict[str, str]]:
    """The rows of a table: what is known of the data."""
    images = dataset.train.images
    rows = {
        "data set": dataset.title,
        "source": dataset.source,
        "licence": dataset.licence,
        "fingerprint": dataset.fingerprint,
        "classes": ", ".join(dataset.classes[:20]),
        "one image": " x ".join(str(n) for n in images.shape[1:]) + f", {images.dtype}",
        "training images in memory": f"{images.nbytes / 1e6:,.0f} MB",
    }
    return [{"": name, " ": value} for name, value in rows.items()]


def samples(dataset: Dataset) -> str:
    """The brightest and the darkest class, and how much the class says about brightness."""
    targets, classes = dataset.train.targets, dataset.classes
    parts = dataset.train.images.split(1000)  # to save memory
    brightness = torch.cat([part.float().mean((1, 2, 3)) for part in parts]) / 255
    sizes = targets.bincount(minlength=len(classes))
    means = targets.bincount(brightness, minlength=len(classes)) / sizes
    between = (sizes * (means - brightness.mean()) ** 2).sum() / len(targets)
    dark, bright = int(means.argmin()), int(means.argmax())
    return (
        f"The darkest class on average is {classes[dark]}, at {means[dark]:.0%} of full "
        f"brightness; the brightest is {classes[bright]}, at {means[bright]:.0%}. Of the "
        f"variance of the images' brightness, {between / brightness.var(correction=0):.0%} is "
        "between the classes; the rest is between images of the same class."
    )


def split(dataset: Dataset, shared: int) -> Notice:
    """The sizes of both splits; loud where ``shared`` images are in both."""
    return Notice(
        f"{len(dataset.train):,} training and {len(dataset.val):,} validation images, {shared} in "
        "both.",
        "Some images are in both splits: remove the copies from your folder." if shared else "",
    )


def counts(dataset: Dataset, shared: int) -> dict[str, Any]:
    """What the run remembers of the splits: images, images of each class, how many are in both."""
    record: dict[str, Any] = {"images_in_both": shared}
    for name, part in (("train", dataset.train), ("val", dataset.val)):
        record[f"{name}_images"] = len(part)
        record[f"{name}_counts"] = part.targets.bincount(minlength=len(dataset.classes))
    return record


def balance(dataset: Dataset) -> str:
    """How much the classes differ in size, and what a constant answer would reach."""
    found = counts(dataset, 0)
    train, val = found["train_counts"], found["val_counts"]
    return (
        f"The largest class has {train.max() / train.min():.2f} times as many training images as "
        f"the smallest. Always answering with the same class would be right for "
        f"{val.max() / val.sum():.1%} of the validation images."
    )


def constants(dataset: Dataset) -> dict[str, Any]:
    """What the run remembers: its mean and std, and the published ones where it uses CIFAR-10."""
    own, known = dataset.normalization, PUBLISHED if dataset.name == "cifar10" else (None, None)
    names = ("mean", "std", "published_mean", "published_std")
    return dict(zip(names, (*own, *known), strict=True))


def statistics(dataset: Dataset) -> list[dict[str, Any]]:
    """The rows of a table: mean and std of each channel, beside the published ones if known."""
    found = {name.replace("_", " "): x for name, x in constants(dataset).items() if x}
    return [
        {"channel": channel} | {name: f"{values[i]:.4f}" for name, values in found.items()}
        for i, channel in enumerate(CHANNELS)
    ]


def copied(dataset: Dataset, image_stds: Tensor) -> list[dict[str, Any]]:
    """The rows of a table: the std of all pixels, and the mean of the images' own (N, 3)."""
    rows = []
    for i, channel in enumerate(CHANNELS):
        row = {"channel": channel, "std of all pixels": f"{dataset.normalization.std[i]:.4f}"}
        row["root of the mean within"] = f"{image_stds[:, i].square().mean().sqrt():.4f}"
        row["mean of the images' std"] = f"{image_stds[:, i].mean():.4f}"
        row |= {"often copied": f"{COPIED[i]:.4f}"} if dataset.name == "cifar10" else {}
        rows.append(row)
    return rows


def copied_words(dataset: Dataset, image_stds: Tensor) -> str:
    """What dividing by the mean of the images' std (N, 3) does, and where the difference is from.

    Two steps lead from one to the other, and each takes its share of the difference.
    """
    stds, means = torch.tensor(dataset.normalization.std), image_stds.mean(0)
    within = image_stds.square().mean(0).sqrt()
    share = ((stds - within) / (stds - means)).mean()
    wrong = (stds / means).mean()
    return (
        f"Divided by the mean of the images' std, the inputs have a std of {wrong:.2f} instead of "
        f"1. Of the difference {share:.0%} is lost with the mean colour of each image, which its "
        f"own std leaves out, and {1 - share:.0%} because a mean of roots is smaller than the root "
        "of the mean."
    )


def pixel_values(shares: Tensor, dataset: Dataset) -> str:
    """What the histograms (3, 256) show: clipped values, the darkest channel, the normal range."""
    mean, std = dataset.normalization
    black, white = shares[:, 0].mean(), shares[:, 255].mean()
    low = min(-m / s for m, s in zip(mean, std, strict=True))
    high = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    return (
        f"{white:.1%} of all values are 255, the largest a byte can hold; {black:.1%} are 0. On "
        f"average {CHANNELS[int(np.argmin(mean))]} is the darkest channel, with {min(mean):.3f}; "
        f"the brightest has {max(mean):.3f}. Normalised, bytes become numbers from {low:.2f} to "
        f"{high:.2f}."
    )


def mean_images(means: Tensor, classes: Sequence[str]) -> str:
    """Which mean images (classes, 3, H, W) are closest, and which are farthest apart."""
    distances = torch.pdist(means.flatten(1))
    pairs = torch.combinations(torch.arange(len(classes))).tolist()
    near, far = (
        " and ".join(classes[i] for i in pairs[int(place)])
        for place in (distances.argmin(), distances.argmax())
    )
    return f"The closest mean images are those of {near}; the farthest apart, {far}."


def nearest_mean(accuracy: float, dataset: Dataset) -> str:
    """How often the nearest mean image is the right class, beside guessing."""
    return (
        f"Choosing the class with the nearest mean image is right for {accuracy:.1%} of the "
        f"validation images; guessing, for {1 / len(dataset.classes):.1%}."
    )


def window(top: int, left: int, padding: int, shape: tuple[int, ...]) -> str:
    """Where a window (height, width) of a bordered image lies, and how many there are to choose."""
    height, width = shape[-2:]
    inside = (height - abs(top - padding)) * (width - abs(left - padding))
    down, right = padding - top, padding - left
    return (
        f"The window begins in row {top} and column {left} of the bordered image, which moves the "
        f"picture by {down:+d} rows and {right:+d} columns: {1 - inside / (height * width):.0%} of "
        f"what it shows is border. There are {(2 * padding + 1) ** 2} such windows, and twice as "
        "many with the mirror image."
    )


def augmentation(rows: Mapping[str, Tensor]) -> str:
    """How many pixels are black in each row of images, (columns, 3, H, W) uint8."""
    black = [f"{name} {(x.sum(1) == 0).float().mean():.0%}" for name, x in rows.items()]
    return f"Black pixels in each row: {'; '.join(black)}."


def batches(made: Batches, epochs: int) -> str:
    """How many batches an epoch is, and how many variants of an image the augmentation has."""
    images, size, recipe = len(made.targets), made.batch_size, made.augmentation
    variants = (1 + recipe.flip) * (2 * recipe.crop_padding + 1) ** 2
    return (
        f"An epoch is {len(made)} batches: {size} images each, {images - (len(made) - 1) * size} "
        f"in the last. Flip and crop know {variants} variants of each image; an epoch shows one "
        f"of them, this run {epochs}."
    )


def loading(images: int, seconds: Mapping[str, float]) -> str:
    """How many images per second two ways to make batches of ``images`` give, and their ratio."""
    (slow, a), (fast, b) = ((name, images / taken) for name, taken in seconds.items())
    return (
        f"{slow.capitalize()}: {a:,.0f} images per second; {fast}: {b:,.0f}, {b / a:.2g} times as "
        "many."
    )


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 02 as a Markdown list, from what it recorded."""
    r = record
    train, val = np.asarray(r["train_counts"]), np.asarray(r["val_counts"])
    ratio, constant = train.max() / train.min(), f"{val.max() / val.sum():.1%}"
    reading = f"accuracy is a fair measure, with {constant} for a constant answer"
    if ratio >= 1.5:
        reading = f"read accuracy with care: a constant answer is right for {constant}"
    mean, std = (", ".join(f"{x:.4f}" for x in r[name]) for name in ("mean", "std"))
    return (
        f"- {r['train_images']:,} training and {r['val_images']:,} validation images, "
        f"{r['images_in_both']} in both.\n"
        f"- {len(train)} classes that differ in size by a factor of {ratio:.2f}: {reading}.\n"
        f"- Normalisation: mean {mean}; standard deviation {std}.\n"
        f"- The accuracy to beat, from mean images alone: {r['nearest_mean_accuracy']:.1%}.\n"
        "- Written: `data.json` and six figures; not read: the test images."
    )
