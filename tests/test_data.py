"""Where images come from, what is done with files that are wrong, and how they are split."""

from functools import partial
import hashlib
import http.server
import os
from pathlib import Path
import pickle
import tarfile
import threading

import numpy as np
from PIL import Image
import pytest
import torch
from torchvision.datasets import CIFAR10

from lab_utils import LabError
from lab_utils.core.run import open_run
from lab_utils.data import cifar10, sources
from lab_utils.data.dataset import channel_statistics, load, load_test

REAL = os.environ.get("LAB_DATA_DIR")
FOLDER = "cifar-10-batches-py"


@pytest.fixture
def tiny_cifar(tmp_path, monkeypatch):
    """A CIFAR-10 of 100 + 20 noise images in the official layout; torchvision told its MD5s."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "files" / FOLDER
    folder.mkdir(parents=True)

    def batch(name, count):
        data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        content = pickle.dumps({"data": data, "labels": [i % 10 for i in range(count)]})
        (folder / name).write_bytes(content)
        return [name, hashlib.md5(content).hexdigest()]

    names = [f"class{i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    meta_md5 = hashlib.md5((folder / "batches.meta").read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}", 20) for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch", 20)])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": meta_md5})
    # No test reaches the real site, and a project's own data/ does not matter here.
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/none.tar.gz")
    monkeypatch.setattr(sources, "project_root", lambda: tmp_path / "project")
    monkeypatch.setenv("LAB_DATA_DIR", str(folder.parent))
    _forget()
    yield folder
    _forget()


def _forget():
    cifar10.cifar10_folder.cache_clear()
    cifar10._cifar10.cache_clear()


@pytest.fixture
def server(tiny_cifar, tmp_path, monkeypatch):
    """The tiny CIFAR-10 as an archive on this machine; ``LAB_DATA_DIR`` unset."""
    site = tmp_path / "site"
    site.mkdir()
    with tarfile.open(site / "cifar.tar.gz", "w:gz") as archive:
        archive.add(tiny_cifar, FOLDER)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        port = httpd.server_address[1]
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{port}/cifar.tar.gz")
        md5 = hashlib.md5((site / "cifar.tar.gz").read_bytes()).hexdigest()
        monkeypatch.setattr(CIFAR10, "tgz_md5", md5)
        monkeypatch.delenv("LAB_DATA_DIR")
        yield
        httpd.shutdown()


def load_run(**overrides):
    run = open_run("02_data", "quick", **overrides)
    return run, load(run, "02_data")


def test_cifar10_is_found_in_lab_data_dir(runs, tiny_cifar):
    _, dataset = load_run()
    assert dataset.name == "cifar10"
    assert dataset.warning == ""
    assert (len(dataset.train), len(dataset.val)) == (90, 10)
    oracle = CIFAR10(tiny_cifar.parent, train=True).data
    assert dataset.train.images.dtype == torch.uint8
    seen = {x.numpy().tobytes() for s in (dataset.train, dataset.val) for x in s.images}
    assert seen == {np.ascontiguousarray(x.transpose(2, 0, 1)).tobytes() for x in oracle}


def test_both_splits_are_torchvisions_and_each_file_is_hashed_once(runs, tiny_cifar, monkeypatch):
    from torchvision.datasets import utils

    hashed, check = [], utils.check_integrity
    with monkeypatch.context() as patch:
        patch.setattr(utils, "check_integrity", lambda *a: hashed.append(a[0].name) or check(*a))
        found = {split: sources.read("cifar10", split, None) for split in ("train", "test")}
    assert sorted(hashed) == sorted(path.name for path in tiny_cifar.iterdir())
    for split, images in found.items():
        oracle = CIFAR10(tiny_cifar.parent, train=split == "train")
        assert np.array_equal(images.pixels, oracle.data.transpose(0, 3, 1, 2))
        assert images.targets.tolist() == oracle.targets and images.targets.dtype == np.int64
        assert list(images.classes) == oracle.classes


def test_cifar10_that_is_nowhere_is_an_error_that_says_where_it_looked(runs, tiny_cifar, tmp_path):
    os.environ["LAB_DATA_DIR"] = str(tmp_path / "empty")
    with pytest.raises(LabError) as caught:
        load_run(data="cifar10")
    text = str(caught.value)
    assert str(tmp_path / "empty") in text
    assert str(tmp_path / "project" / "data") in text
    assert "LAB_DATA_DIR" in text
    assert "data=shapes" in text


def test_auto_falls_back_to_shapes_with_a_warning(runs, tiny_cifar, tmp_path):
    os.environ["LAB_DATA_DIR"] = str(tmp_path / "empty")
    run, dataset = load_run(data="auto", train_size=200)
    assert dataset.name == "shapes"
    assert "NOT use CIFAR-10" in dataset.warning
    # A later step of the run stays with what the first one found, and says so too.
    os.environ["LAB_DATA_DIR"] = str(tiny_cifar.parent)
    _forget()
    assert load(run, "02_data").name == "shapes"
    assert "NOT use CIFAR-10" in load(run, "02_data").warning


@pytest.mark.parametrize("data", ["cifar10", "auto"])
@pytest.mark.parametrize("damage", ["truncate", "delete", "change"])
def test_a_damaged_file_is_named_and_never_replaced_by_shapes(runs, tiny_cifar, data, damage):
    path = tiny_cifar / "data_batch_3"
    content = path.read_bytes()
    path.unlink()
    if damage != "delete":
        path.write_bytes(content[:1000] if damage == "truncate" else content[:-1] + b"x")
    with pytest.raises(LabError, match=r"data_batch_3 is missing or damaged"):
        load_run(data=data)


def test_cifar10_is_downloaded_into_data_when_it_is_nowhere(runs, server, tmp_path):
    _, dataset = load_run()
    assert dataset.name == "cifar10"
    assert (tmp_path / "project" / "data" / FOLDER / "data_batch_5").is_file()


def test_a_half_downloaded_archive_is_fetched_again(runs, server, tmp_path):
    own = tmp_path / "project" / "data"
    own.mkdir(parents=True)
    (own / "cifar-10-python.tar.gz").write_bytes(b"half of it")
    (own / FOLDER).mkdir()
    assert load_run()[1].name == "cifar10"


def test_an_archive_with_another_md5_is_not_used(runs, server, monkeypatch):
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(LabError, match="could not be downloaded"):
        load_run(data="cifar10")


def test_the_split_is_stratified_disjoint_and_follows_from_the_seed(runs):
    _, one = load_run(data="shapes", name="one")
    _, again = load_run(data="shapes", name="again")
    _, other = load_run(data="shapes", name="other", seed=7)
    assert (len(one.train), len(one.val)) == (9000, 1000)
    assert one.val.targets.bincount().tolist() == [100] * 10
    assert one.train.targets.bincount().tolist() == [900] * 10
    assert torch.equal(one.val.images, again.val.images)
    assert not torch.equal(one.val.images, other.val.images)
    train = {x.numpy().tobytes() for x in one.train.images}
    assert not any(x.numpy().tobytes() in train for x in one.val.images)


def test_train_size_and_test_size_keep_the_classes_in_proportion(runs):
    run, dataset = load_run(data="shapes", train_size=1000, test_size=100)
    assert len(dataset.train) + len(dataset.val) == 1000
    assert load_test(run, dataset).targets.bincount().tolist() == [10] * 10


def test_more_images_than_there_are_is_refused(runs):
    with pytest.raises(LabError, match="20,000 images were asked for and the split has 10,000"):
        load_run(data="shapes", train_size=20_000)


def test_a_run_stays_with_the_data_it_began_with(runs, tiny_cifar):
    run, _ = load_run(data="cifar10")
    content = pickle.loads((tiny_cifar / "data_batch_1").read_bytes())
    content["data"][0, 0] ^= 1
    changed = pickle.dumps(content)
    (tiny_cifar / "data_batch_1").write_bytes(changed)
    CIFAR10.train_list[0][1] = hashlib.md5(changed).hexdigest()
    _forget()
    run.begin("04_training")
    with pytest.raises(LabError, match="used other data"):
        load(run, "04_training")


def test_channel_statistics_are_numpys():
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    x = images.numpy() / 255
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 2, 3)), rtol=1e-12)


@pytest.fixture
def image_folder(tmp_path):
    """Two classes of images of many sizes, modes and formats."""
    rng = np.random.default_rng(0)
    sizes = [(20, 30), (64, 48), (32, 32), (7, 100), (33, 31)] * 4
    for part in ("train", "test"):
        for name in ("a cat", "dog_ä"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for i, (width, height) in enumerate(sizes):
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                mode = ("RGB", "L", "P", "RGBA")[i % 4]
                suffix = ".png" if mode in ("P", "RGBA") else (".png", ".jpg")[i % 2]
                Image.fromarray(pixels).convert(mode).save(folder / f"{i}{suffix}")
            (folder / "notes.txt").write_text("not an image")
    return tmp_path / "pets"


def test_a_folder_of_any_sizes_becomes_squares(runs, image_folder):
    run, dataset = load_run(data="folder", data_folder=str(image_folder), image_size=24)
    assert dataset.classes == ("a cat", "dog_ä")
    assert dataset.train.images.shape == (36, 3, 24, 24)
    assert load_test(run, dataset).targets.tolist() == [0] * 20 + [1] * 20
    assert dataset.unreadable == ()


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
        load_test(run, dataset)


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


@pytest.mark.skipif(
    not REAL or not (sources.project_root() / Path(REAL) / FOLDER).is_dir(),
    reason="LAB_DATA_DIR has no CIFAR-10",
)
def test_the_official_cifar10_is_split_45000_5000_10000(runs):
    _forget()
    run, dataset = load_run(data="cifar10")
    assert (len(dataset.train), len(dataset.val)) == (45_000, 5_000)
    assert len(load_test(run, dataset)) == 10_000
    assert dataset.train.targets.bincount().tolist() == [4500] * 10
    np.testing.assert_allclose(dataset.mean, (0.4914, 0.4822, 0.4465), atol=5e-4)
    np.testing.assert_allclose(dataset.std, (0.2470, 0.2435, 0.2616), atol=5e-4)


def test_an_image_that_claims_to_be_gigantic_is_unreadable_not_fatal(runs, image_folder):
    header = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    size = (100_000).to_bytes(4, "little") * 2
    bomb = header + size + (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24)
    (image_folder / "train" / "a cat" / "bomb.bmp").write_bytes(bomb)
    _, dataset = load_run(data="folder", data_folder=str(image_folder))
    assert dataset.unreadable == ("train/a cat/bomb.bmp",)


def test_a_subset_that_cannot_keep_the_classes_is_one_sentence(runs):
    with pytest.raises(LabError, match="in proportion to 10 classes"):
        load_run(data="shapes", train_size=9_995)


def test_a_download_that_is_cut_off_is_tried_again(runs, server, monkeypatch):
    init, calls = CIFAR10.__init__, []

    def flaky(self, *words, **options):
        if options.get("download"):
            calls.append(1)
            if len(calls) == 1:
                raise TimeoutError("timed out")
        init(self, *words, **options)

    monkeypatch.setattr(CIFAR10, "__init__", flaky)
    assert load_run()[1].name == "cifar10"
    assert len(calls) == 2


def test_every_image_is_held_out_by_one_fold_and_classes_stay_in_proportion(runs):
    held_out = []
    for fold in range(3):
        settings = {"data": "shapes", "train_size": 200, "folds": 3, "fold": fold}
        _, dataset = load_run(**settings)
        counts = dataset.val.targets.bincount(minlength=10)
        assert set(counts.tolist()) <= {6, 7}
        train = {x.numpy().tobytes() for x in dataset.train.images}
        val = {x.numpy().tobytes() for x in dataset.val.images}
        assert len(train | val) == 200
        held_out.append(val)
        _, again = load_run(**settings, name="again-" + str(fold))
        assert torch.equal(again.val.images, dataset.val.images)
    assert len(set.union(*held_out)) == sum(map(len, held_out)) == 200


def test_more_folds_than_images_of_a_class_are_refused(runs):
    with pytest.raises(LabError, match=r"folds=21 needs as many .* one class has 20; use fewer"):
        load_run(data="shapes", train_size=200, folds=21)
