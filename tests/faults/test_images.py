"""Damaged images and odd folders of a student's own: images, or one sentence."""

import os
from pathlib import Path
import random
import shutil

from hostile import hostile
import numpy as np
from PIL import Image
import pytest

from lab_utils import LabError
from lab_utils.core.settings import Settings
from lab_utils.data import folder
from lab_utils.deployment.pictures import to_rgb

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore::UserWarning")]


def test_a_damaged_image_is_an_image_or_one_sentence(full, survived, tmp_path):
    count = 300 if full else 45
    for number in range(count):
        content, path = hostile(number), tmp_path / "a.png"
        path.write_bytes(content)
        found = folder._decode(path, 8)
        assert isinstance(found, Exception) or (found.shape, found.dtype) == ((3, 8, 8), np.uint8)
        try:
            assert to_rgb(content).mode == "RGB"
        except LabError as error:
            assert str(error)
    survived("damaged images, in a folder and for the engine", count, "an image, or why it is none")


def layout(top: Path, number: int) -> None:
    """Make ``train`` and ``test`` below ``top`` as people do who read no manual."""
    rng = random.Random(number)
    names = ["cat", "dog", "Ünï", "a b", "$x$", "\\frac{1", "con", ".hidden", "x" * 200, "猫", "😀"]
    for part in ("train", "test"):
        for name in ("cat", "dog", *rng.sample(names[2:], rng.randrange(3))):
            if rng.random() < 0.9:
                (top / part / name).mkdir(parents=True)
                for i in range(rng.randrange(4)):
                    suffix = rng.choice([".png", ".PNG", ".jpg", ".txt", ""])
                    path = top / part / name / f"{i}{suffix}"
                    Image.new("RGB", (rng.randrange(1, 40), rng.randrange(1, 40))).save(path, "PNG")
    extras = [
        lambda: (top / "train" / "loose.png").write_bytes(b"x"),
        lambda: (top / "train" / "cat" / "link.png").symlink_to("/nowhere"),
        lambda: (top / "train" / "cat" / "loop").symlink_to(top, target_is_directory=True),
        lambda: os.mkfifo(top / "train" / "cat" / "pipe.png"),
        lambda: (top / "train" / "cat" / "folder.png").mkdir(),
        lambda: shutil.rmtree(top / "test"),
        lambda: (shutil.rmtree(top / "test"), (top / "test").write_text("a file")),
    ]
    for extra in rng.sample(extras, rng.randrange(3)):
        try:
            extra()
        except OSError:  # the place for it is not there this time
            continue


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
def test_a_folder_of_any_layout_is_images_or_one_sentence(full, survived, tmp_path, monkeypatch):
    monkeypatch.setattr("lab_utils.data.cache.project_root", lambda: tmp_path / "project")
    count, read = 50 if full else 15, 0
    for number in range(count):
        top = tmp_path / str(number)
        layout(top, number)
        wanted = Settings(experiment="e", data="folder", data_folder=str(top), image_size=16)
        for part in ("train", "test"):
            try:
                found = folder.read(part, wanted)
            except LabError as error:
                assert str(top) in str(error)
            else:
                assert found.pixels.shape == (len(found.targets), 3, 16, 16)
                assert not any(name.startswith(".") for name in found.classes)
                read += 1
    assert 0 < read < 2 * count
    survived("layouts of an image folder", count, "images, or a sentence that names the folder")
