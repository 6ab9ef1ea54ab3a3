"""Which data set a run uses and where its images are; one on CIFAR-10 loads no other's code."""

from typing import NamedTuple

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.core.show import Notice
from lab_utils.data import cifar10
from lab_utils.data.images import Images


def read(name: str, split: str, settings: Settings) -> Images:
    """The ``split`` ("train" or "test") of the data set ``name``, decoded.

    Raises LabError where it cannot be had, is damaged, or has an empty class.
    """
    if name == "cifar10":
        return cifar10.read(split)
    from lab_utils.data import folder, shapes

    return shapes.read(split) if name == "shapes" else folder.read(split, settings)


def resolve_auto() -> tuple[str, str]:
    """What ``data: auto`` means here: ``("cifar10", "")``, or ``("shapes", why)``, without a path.

    Files that are there but damaged are an error: a damaged CIFAR-10 must not pass for none.
    """
    try:
        cifar10.cifar10_folder()
    except cifar10.NotFound as error:
        return "shapes", str(cifar10.NotFound("data/ or LAB_DATA_DIR", error.why))
    return "cifar10", ""


def cifar10_found_now(run: Run) -> str:
    """How to run on CIFAR-10, where ``run`` fell back to shapes and CIFAR-10 is there by now.

    Empty for every other run. Only looks whether the folder is there, so it takes no time.
    """
    used = {entry["data"]["name"] for entry in run.manifest.values() if "data" in entry}
    if run.settings.data != "auto" or used != {"shapes"} or not cifar10.find():
        return ""
    return "CIFAR-10 can be found now; to use it, `lab run` with `--from 01` or another name."


class ImageSource(NamedTuple):
    """Where the training images will come from, in words; how many; pixels a side; if here now."""

    place: str
    images: int
    side: int
    at_hand: bool


def image_source(settings: Settings) -> ImageSource:
    """Looks for the training images and reads none."""
    from lab_utils.data import folder, shapes

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
    side = settings.image_size if settings.data == "folder" else 32
    return ImageSource(place, settings.train_size or images, side, at_hand)


def source_notice(source: ImageSource, settings: Settings) -> Notice:
    """Where the images will come from; loud where CIFAR-10 must be downloaded first."""
    missing = "" if source.at_hand else "CIFAR-10 is not on this machine yet."
    return Notice(f"Data {settings.data!r}: the images come from {source.place}.", missing)
