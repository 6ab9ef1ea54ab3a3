"""Which data set a run uses and where its images are.

Each data set is imported where it is used: a run on CIFAR-10 loads nothing of the others.
"""

from typing import NamedTuple

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.images import Images


def read(name: str, split: str, settings: Settings) -> Images:
    """The ``split`` ("train" or "test") of the data set ``name``, decoded.

    Raises LabError where it cannot be had, is damaged, or has an empty class.
    """
    if name == "folder":
        from lab_utils.data import folder

        return folder.read(split, settings)
    if name == "shapes":
        from lab_utils.data import shapes

        return shapes.read(split)
    from lab_utils.data import cifar10

    return cifar10.read(split)


def resolve_auto() -> tuple[str, str]:
    """What ``data: auto`` means here: ``("cifar10", "")``, or ``("shapes", why)``.

    Files that are there but damaged are an error: a damaged CIFAR-10 must not pass for none.
    """
    from lab_utils.data import cifar10

    try:
        cifar10.cifar10_folder()
    except FileNotFoundError as error:
        return "shapes", str(error)
    return "cifar10", ""


def cifar10_found_now(run: Run) -> str:
    """How to run on CIFAR-10, where ``run`` fell back to shapes and CIFAR-10 is there by now.

    Empty for every other run. Only looks whether the folder is there, so it takes no time.
    """
    from lab_utils.data import cifar10

    used = {entry["data"]["name"] for entry in run.manifest.values() if "data" in entry}
    if run.settings.data != "auto" or used != {"shapes"} or not cifar10.find():
        return ""
    return (
        "CIFAR-10 can be found now: to use it, repeat the `lab run` command with `--from 01`, or "
        "begin a run with another name."
    )


class ImageSource(NamedTuple):
    """Where the training images will come from, in words; how many; whether they are here now."""

    place: str
    images: int
    at_hand: bool = True


def image_source(settings: Settings) -> ImageSource:
    """Where the training images will come from; looks for them and reads none."""
    if settings.data == "folder":
        from lab_utils.data import folder

        found = len(folder.image_files(folder.root(settings) / "train"))
        return ImageSource("the image files of data_folder", settings.train_size or found)
    if settings.data == "shapes":
        from lab_utils.data import shapes

        images = settings.train_size or shapes.SPLITS["train"][0]
        return ImageSource("the lab itself, which draws them", images)
    from lab_utils.data import cifar10

    images, found = settings.train_size or 50_000, cifar10.find()
    if found:
        own = found == cifar10.places()[-1]
        place = "the project's folder data/" if own else "the folder that LAB_DATA_DIR names"
        return ImageSource(place, images)
    place = "a download of 170 MB, once, into the project's folder data/"
    if settings.data == "auto":
        place += "; without a network the lab draws images of its own, 'shapes'"
    return ImageSource(place, images, at_hand=False)
