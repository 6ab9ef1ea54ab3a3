"""Image folders of a student's own: what is read, and that it is decoded once."""

import os
from pathlib import Path
import pickle
import shutil

from fabricate import begin
import numpy as np
from PIL import Image
import pytest

from lab_utils import LabError
from lab_utils.core.params import runs_dir
from lab_utils.core.settings import Settings
from lab_utils.data import cifar10, folder
from lab_utils.data.dataset import load, load_test


def load_run(**overrides):
    run = begin("05_evaluation", "quick", **overrides)
    return run, load(run)


@pytest.fixture
def image_folder(tmp_path, monkeypatch):
    """Two classes of images of many sizes, modes and formats."""
    monkeypatch.setattr("lab_utils.data.cache.project_root", lambda: tmp_path / "project")
    rng = np.random.default_rng(0)
    sizes = [(20, 30), (64, 48), (32, 32), (7, 100), (33, 31)] * 4
    for part in ("train", "test"):
        for name in ("a cat", "dog_ä"):
            place = tmp_path / "pets" / part / name
            place.mkdir(parents=True)
            for i, (width, height) in enumerate(sizes):
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                mode = ("RGB", "L", "P", "RGBA")[i % 4]
                suffix = ".png" if mode in ("P", "RGBA") else (".png", ".jpg")[i % 2]
                Image.fromarray(pixels).convert(mode).save(place / f"{i}{suffix}")
            (place / "notes.txt").write_text("not an image")
    return tmp_path / "pets"


def test_a_folder_of_any_sizes_becomes_squares(runs, image_folder):
    run, dataset = load_run(data="folder", data_folder=str(image_folder), image_size=24)
    assert dataset.classes == ("a cat", "dog_ä")
    assert dataset.train.images.shape == (36, 3, 24, 24)
    assert load_test(run, dataset, "a test").targets.tolist() == [0] * 20 + [1] * 20
    assert dataset.unreadable == ()


def test_an_image_is_its_centred_square_pixel_by_pixel(image_folder):
    pixels = np.random.default_rng(1).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image_folder / "train" / "a cat" / "wide.png")
    found = read(image_folder, image_size=32)
    assert np.array_equal(found.pixels[20], pixels[:, 16:48].transpose(2, 0, 1))  # last of the cats


def test_unreadable_images_are_named_and_left_out(runs, image_folder):
    (image_folder / "train" / "a cat" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    good = (image_folder / "train" / "a cat" / "1.jpg").read_bytes()
    (image_folder / "train" / "a cat" / "cut.jpg").write_bytes(good[: len(good) // 2])
    _, dataset = load_run(data="folder", data_folder=str(image_folder))
    assert dataset.unreadable == ("train/a cat/broken.jpg", "train/a cat/cut.jpg")
    assert len(dataset.train) + len(dataset.val) == 40


def test_a_class_left_empty_is_an_error(runs, image_folder):
    for path in (image_folder / "test" / "a cat").iterdir():
        path.write_bytes(b"")
    run, dataset = load_run(data="folder", data_folder=str(image_folder))
    with pytest.raises(LabError, match=r"a cat holds no readable image"):
        load_test(run, dataset, "a test")


@pytest.mark.parametrize("wrong", ["missing", "no test", "other classes", "not given"])
def test_a_wrong_folder_is_an_error_that_names_it(runs, image_folder, wrong, tmp_path):
    given = str(image_folder)
    if wrong == "missing":
        given = str(tmp_path / "nowhere")
    elif wrong == "no test":
        (image_folder / "test").rename(tmp_path / "away")
    elif wrong == "other classes":
        (image_folder / "test" / "dog_ä").rename(image_folder / "test" / "bird")
    elif wrong == "not given":
        given = None
    with pytest.raises(LabError, match=r"train/|not a folder"):
        load_run(data="folder", data_folder=given)


def test_an_image_that_claims_to_be_gigantic_is_unreadable_not_fatal(runs, image_folder):
    header = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    size = (100_000).to_bytes(4, "little") * 2
    bomb = header + size + (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24)
    (image_folder / "train" / "a cat" / "bomb.bmp").write_bytes(bomb)
    _, dataset = load_run(data="folder", data_folder=str(image_folder))
    assert dataset.unreadable == ("train/a cat/bomb.bmp",)


@pytest.fixture
def decoded(image_folder, monkeypatch):
    """The names of the files that were decoded, as they are."""
    names, decode = [], folder._decode

    def noted(path, size):
        names.append(path.name)
        return decode(path, size)

    monkeypatch.setattr(folder, "_decode", noted)
    return names


def read(image_folder, split="train", **settings):
    return folder.read(
        split, Settings(experiment="x", data="folder", data_folder=str(image_folder), **settings)
    )


def test_grey_images_of_16_bits_keep_their_greys(tmp_path):
    for value, grey in ((0, 0), (256, 1), (32_768, 128), (65_535, 255)):
        Image.fromarray(np.full((9, 9), value, np.uint16)).save(tmp_path / "a.png")
        assert (folder._decode(tmp_path / "a.png", 4) == grey).all()


@pytest.mark.parametrize(("low", "high"), [(-0.1, 1.0), (0.0, 1.1)])
def test_a_grey_image_of_floats_is_from_0_to_1_or_unreadable(tmp_path, low, high):
    values = np.full((9, 9), 0.5, np.float32)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert (folder._decode(tmp_path / "a.tiff", 4) == 128).all()
    values[0, 0], values[8, 8] = low, high
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert "outside 0..1; save it with 8 or 16" in str(folder._decode(tmp_path / "a.tiff", 4))


def test_what_jupyter_hides_is_no_class_and_no_image(image_folder):
    hidden = [image_folder / "train" / ".ipynb_checkpoints"]
    hidden += [image_folder / "train" / "a cat" / ".ipynb_checkpoints"]
    for place in hidden:
        place.mkdir()
        shutil.copy(image_folder / "train" / "a cat" / "0.png", place / "0-checkpoint.png")
    assert folder._classes(image_folder) == ("a cat", "dog_ä")
    assert len(folder.image_files(image_folder / "train" / "a cat")) == 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_pipe_that_is_named_like_an_image_is_unreadable_and_nothing_waits_for_it(runs, tmp_path):
    os.mkfifo(tmp_path / "x.png")
    assert isinstance(folder._decode(tmp_path / "x.png", 4), OSError)


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_PIXELS", 100)
    Image.new("RGB", (11, 10)).save(tmp_path / "a.png")
    assert "more than 100 pixels" in str(folder._decode(tmp_path / "a.png", 4))


def test_a_home_folder_of_nobody_is_one_sentence(runs, monkeypatch):
    with pytest.raises(LabError, match=r"~nobody_here/x names no home folder"):
        folder.root(Settings(experiment="e", data="folder", data_folder="~nobody_here/x"))
    for variable, use in (("LAB_RUNS_DIR", runs_dir), ("LAB_DATA_DIR", cifar10.places)):
        monkeypatch.setenv(variable, "~nobody_here/x")
        with pytest.raises(LabError, match=r"~nobody_here/x names no home folder"):
            use()


def test_a_folder_is_decoded_once_for_all_notebooks_of_all_runs(image_folder, decoded):
    first = read(image_folder)
    assert len(decoded) == 40
    again = read(image_folder, seed=7)
    assert len(decoded) == 40
    assert np.array_equal(again.pixels, first.pixels) and again.pixels.dtype == np.uint8
    assert np.array_equal(again.targets, first.targets) and again.targets.dtype == np.int64
    assert (again.classes, again.unreadable) == (first.classes, first.unreadable)
    read(image_folder, "test")
    assert len(decoded) == 80


def test_what_was_kept_says_which_files_are_unreadable(image_folder, decoded):
    (image_folder / "train" / "dog_ä" / "broken ü.jpg").write_bytes(b"\xff\xd8 not a picture")
    assert read(image_folder).unreadable == ("train/dog_ä/broken ü.jpg",)
    decoded.clear()
    assert read(image_folder).unreadable == ("train/dog_ä/broken ü.jpg",)
    assert decoded == []


def touch(path):
    os.utime(path, ns=(1, 1))


def replace_by_another_of_its_size_and_time(path):
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "added": lambda path: shutil.copy(path, path.with_name("new.jpg")),
    "removed": Path.unlink,
    "renamed": lambda path: path.rename(path.with_name("other.jpg")),
    "changed": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "touched": touch,
    "replaced": replace_by_another_of_its_size_and_time,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_folder_that_changed_is_decoded_again_and_leaves_one_file(
    image_folder, decoded, change, tmp_path
):
    read(image_folder)
    decoded.clear()
    change(image_folder / "train" / "a cat" / "1.jpg")
    read(image_folder)
    assert len(decoded) >= 39
    decoded.clear()
    read(image_folder)
    assert decoded == []
    assert len(list((tmp_path / "project" / "data").iterdir())) == 1


def test_another_size_is_decoded_again(image_folder, decoded):
    assert read(image_folder, image_size=20).pixels.shape == (40, 3, 20, 20)
    assert read(image_folder, image_size=24).pixels.shape == (40, 3, 24, 24)
    assert len(decoded) == 80


def test_another_version_of_pillow_decodes_again(image_folder, decoded, monkeypatch):
    read(image_folder)
    monkeypatch.setattr("PIL.__version__", "0.0")
    read(image_folder)
    assert len(decoded) == 80


def flip_a_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda c: c[: len(c) // 2], lambda c: b"", lambda c: pickle.dumps([1])],
    ids=["a bit", "cut off", "empty", "a pickle"],
)
def test_a_damaged_file_is_not_used_and_replaced(image_folder, decoded, damage, tmp_path):
    first = read(image_folder)
    (kept,) = (tmp_path / "project" / "data").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert np.array_equal(read(image_folder).pixels, first.pixels)
    assert len(decoded) == 80
    read(image_folder)
    assert len(decoded) == 80


def test_where_nothing_can_be_kept_images_are_decoded_each_time(image_folder, decoded, tmp_path):
    (tmp_path / "project").write_text("a file where a folder should be")
    assert np.array_equal(read(image_folder).pixels, read(image_folder).pixels)
    assert len(decoded) == 80


def test_a_file_that_the_system_refuses_is_tried_again(image_folder, decoded, monkeypatch):
    locked, opened = image_folder / "train" / "a cat" / "1.jpg", Image.open

    def refuse(path):
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return opened(path)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", refuse)
        assert read(image_folder).unreadable == ("train/a cat/1.jpg",)
    assert read(image_folder).unreadable == ()


@pytest.mark.skipif(os.name != "posix", reason="no such names on Windows")
def test_a_line_break_in_a_class_name_stays_in_its_row(image_folder):
    for part in ("train", "test"):
        (image_folder / part / "a cat").rename(image_folder / part / "a\ncat\u202e")
    found = read(image_folder, image_size=16)
    assert found.classes == ("a\\ncat\\u202e", "dog_ä")
    assert (found.targets == 0).sum() == 20


def test_a_name_that_matplotlibs_font_lacks_is_covered_when_it_is_read(image_folder, monkeypatch):
    asked = []
    monkeypatch.setattr("lab_utils.setup.fonts.cover", asked.append)
    read(image_folder, image_size=16)
    for part in ("train", "test"):
        (image_folder / part / "dog_ä").rename(image_folder / part / "dog")
    read(image_folder, image_size=16)
    assert asked == [("a cat", "dog_ä")]  # plain names ask for no font
