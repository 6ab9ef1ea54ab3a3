"""What notebook 01 says of the data before they are read, and notebook 02 afterwards."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lab_utils.core.settings import Settings
from lab_utils.data import cifar10, folder, shapes


class ImageSource(NamedTuple):
    """Where the training images will come from, in words; how many; whether they are here now."""

    place: str
    images: int
    at_hand: bool


def image_source(settings: Settings) -> ImageSource:
    """Looks for the training images and reads none."""
    images, found = 50_000, cifar10.find()
    if settings.data == "folder":
        images = len(folder.image_files(folder.root(settings) / "train"))
        place = "the image files of data_folder"
    elif settings.data == "shapes":
        images, place = shapes.SPLITS["train"][0], "the lab itself, which draws them"
    elif found:
        own = found == cifar10.places()[-1]
        place = "the project's folder data/" if own else "the folder that LAB_DATA_DIR names"
    else:
        place = "a download of 170 MB, once, into the project's folder data/"
        if settings.data == "auto":
            place += "; without a network the lab draws images of its own, 'shapes'"
    at_hand = settings.data in ("folder", "shapes") or found is not None
    return ImageSource(place, settings.train_size or images, at_hand)


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
        "- Written: `data.json` and five figures; not read: the test images."
    )
