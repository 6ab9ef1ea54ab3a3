"""Where CIFAR-10 comes from, and what is done with files that are wrong or not there."""

from contextlib import suppress
from functools import partial
import hashlib
import http.server
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import threading

from fabricate import begin
import numpy as np
import pytest
from real import needs_cifar10
import torch
from torchvision.datasets import CIFAR10

from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.core.settings import Settings
from lab_utils.data import cifar10, sources
from lab_utils.data.dataset import load, load_test
from lab_utils.data.sources import cifar10_found_now, image_source, source_notice

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
    monkeypatch.setattr(cifar10, "project_root", lambda: tmp_path / "project")
    monkeypatch.setenv("LAB_DATA_DIR", str(folder.parent))
    _forget()
    yield folder
    _forget()


def _forget():
    cifar10.cifar10_folder.cache_clear()
    cifar10.read.cache_clear()


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
    run = begin("02_data", "quick", **overrides)
    return run, load(run)


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
    later = load(run)
    assert later.name == "shapes"
    assert "NOT use CIFAR-10" in later.warning
    assert "CIFAR-10 can be found now" in later.warning and "--from 01" in later.warning
    assert "CIFAR-10 can be found now" not in dataset.warning


@pytest.mark.parametrize("refused", ["download", "folder"])
def test_what_a_run_that_fell_back_keeps_tells_no_path(runs, tiny_cifar, tmp_path, refused):
    os.environ["LAB_DATA_DIR"] = str(tmp_path / "empty")
    if refused == "folder":  # the error of the system names it
        (tmp_path / "project").mkdir()
        (tmp_path / "project/data").touch()
    _, dataset = load_run(data="auto", train_size=200)
    assert "could not be downloaded" in dataset.warning
    assert "data/ or LAB_DATA_DIR" in dataset.warning
    for place in (tmp_path, project_root()):
        assert str(place) not in repr(dataset.facts)


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
        load(run)


@needs_cifar10
def test_the_official_cifar10_is_split_45000_5000_10000(runs):
    _forget()
    run = begin("05_evaluation", "quick", data="cifar10")
    dataset = load(run)
    assert (len(dataset.train), len(dataset.val)) == (45_000, 5_000)
    assert len(load_test(run, dataset, "a test")) == 10_000
    assert dataset.train.targets.bincount().tolist() == [4500] * 10
    np.testing.assert_allclose(dataset.normalization.mean, (0.4914, 0.4822, 0.4465), atol=5e-4)
    np.testing.assert_allclose(dataset.normalization.std, (0.2470, 0.2435, 0.2616), atol=5e-4)


def test_lab_data_dir_may_name_the_folder_of_the_batches_itself(runs, tiny_cifar, monkeypatch):
    monkeypatch.setenv("LAB_DATA_DIR", str(tiny_cifar))
    assert cifar10.find() == tiny_cifar.parent


def test_a_server_that_talks_no_http_is_a_reason_to_draw_shapes(runs, server, monkeypatch):
    """What answers here says something else than HTTP: http.client's BadStatusLine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with suppress(OSError):
                while True:
                    listening.accept()[0].sendall(b"SSH-2.0-nonsense\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port = listening.getsockname()[1]
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{port}/cifar.tar.gz")
        assert load_run()[1].name == "shapes"
        listening.shutdown(socket.SHUT_RDWR)


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


def test_only_a_run_that_fell_back_is_told_that_cifar10_can_be_found(runs, tiny_cifar, tmp_path):
    run, _ = load_run(name="has it")
    assert cifar10_found_now(run) == ""
    chosen, _ = load_run(data="shapes", name="chose shapes", train_size=200)
    assert cifar10_found_now(chosen) == ""
    os.environ["LAB_DATA_DIR"] = str(tmp_path / "empty")
    _forget()
    fell_back, _ = load_run(name="fell back", train_size=200)
    assert cifar10_found_now(fell_back) == ""
    os.environ["LAB_DATA_DIR"] = str(tiny_cifar.parent)
    assert "`--from 01`" in cifar10_found_now(fell_back)


def test_to_look_for_cifar10_needs_neither_torch_nor_its_files(runs, tiny_cifar):
    for path in tiny_cifar.iterdir():
        path.unlink()
    code = (
        "import sys\n"
        "from lab_utils.core.opening import open_run\n"
        "from lab_utils.data.sources import cifar10_found_now\n"
        "run = open_run('02_data', 'quick', name='a')\n"
        "run.use_data('shapes', 'f00d')\n"
        "print(cifar10_found_now(run), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("CIFAR-10 can be found now")
    assert done.stdout.endswith("False\n")


def test_a_run_on_cifar10_loads_no_other_data_set():
    code = (
        "import sys\n"
        "import lab_utils.data.batches\n"
        "from lab_utils.data import cifar10, sources\n"
        "cifar10.read = lambda split: split\n"
        "assert sources.read('cifar10', 'train', None) == 'train'\n"
        "others = {f'lab_utils.data.{name}' for name in ('shapes', 'folder', 'augment')}\n"
        "print(others & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_where_the_images_will_come_from_is_told_without_reading_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    (tmp_path / FOLDER).mkdir()
    found = image_source(Settings(experiment="x"))
    assert "LAB_DATA_DIR" in found.place
    assert found.images == 50_000 and found.at_hand
    assert image_source(Settings(experiment="x", data="shapes")).images == 10_000
    assert image_source(Settings(experiment="x", train_size=300)).images == 300
    for name in ("train/a/1.png", "train/b/2.JPG", "train/b/notes.txt", "test/a/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    settings = Settings(experiment="x", data="folder", data_folder=str(tmp_path))
    assert image_source(settings).images == 2
    assert image_source(settings).side == settings.image_size
    for data in ("cifar10", "auto", "shapes"):  # these come in one size
        assert image_source(Settings(experiment="x", data=data, image_size=64)).side == 32


def test_images_that_have_to_be_downloaded_are_not_at_hand(tiny_cifar, tmp_path):
    os.environ["LAB_DATA_DIR"] = str(tmp_path / "empty")
    found = image_source(Settings(experiment="x", data="cifar10"))
    assert not found.at_hand and "170 MB" in found.place and "shapes" not in found.place
    assert source_notice(found, Settings(experiment="x", data="cifar10")).loud
    assert "shapes" in image_source(Settings(experiment="x")).place
