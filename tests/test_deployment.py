"""What the lab promises of exported files, of the inference engine and of the model card."""

import contextlib
import io
import warnings

import numpy as np
from PIL import Image
import pytest
import torch

from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.deployment import export
from lab_utils.deployment.engine import InferenceEngine, load_pixel_model, to_rgb
from lab_utils.deployment.model_card import model_card
from lab_utils.model import networks
from lab_utils.training.checkpoints import save_best

CLASSES = ("ant", "bee", "cow", "dog")
SETTINGS = Settings(experiment="smoke")


def dataset():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(60) % 4)
    return Dataset("folder", "Animals", "our camera", "CC0", CLASSES, split, split, "f00d")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A best.pt of an untrained SimpleCNN, with BatchNorm statistics that do something."""
    torch.manual_seed(0)
    model = networks.build("simplecnn", num_classes=4)
    model(torch.randn(64, 3, 32, 32))
    path = tmp_path_factory.mktemp("run") / "checkpoints" / "best.pt"
    save_best(path, model, dataset(), SETTINGS, {"epoch": 3, "val_accuracy": 0.25})
    return path


@pytest.fixture(scope="module")
def exported(checkpoint):
    """The model, its four exports, and what was said while they were made."""
    model, best = load_pixel_model(checkpoint)
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(record=True) as warned,
    ):
        exports = export.export_all(model, best, checkpoint.parent.parent / "exports")
    loud = [w for w in warned if not issubclass(w.category, DeprecationWarning)]
    return model, exports, said.getvalue() + "".join(str(w.message) for w in loud)


@pytest.fixture(scope="module")
def engine(checkpoint):
    return InferenceEngine(checkpoint)


@pytest.fixture(scope="module")
def picture():
    """A smooth colour picture (80, 60, 3) uint8, which survives resizing."""
    small = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((60, 80)))


def pixels(count):
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))


def test_every_export_loads_again_and_computes_the_same(exported):
    model, exports, _ = exported
    rows = export.compare(model, exports, pixels(50))
    assert [row["name"] for row in rows] == ["state dict", "TorchScript", "torch.export", "ONNX"]
    for row, file in zip(rows, exports, strict=True):
        assert row["max_logit_difference"] < 1e-4
        assert row["same_predictions"] == 1
        assert row["bytes"] == file.path.stat().st_size > 4 * 600_000


@pytest.mark.parametrize("count", [1, 2, 5, 64])
def test_every_export_takes_batches_of_any_size(exported, count):
    model, exports, _ = exported
    with torch.inference_mode():
        expected = model(pixels(count))
        for file in exports:
            torch.testing.assert_close(file.run(pixels(count)), expected, atol=1e-4, rtol=0)


def test_a_wrong_export_would_be_noticed(exported):
    model, exports, _ = exported
    wrong = export.Export("wrong", exports[0].path, "", lambda x: model(x).flip(1))
    (row,) = export.compare(model, [wrong], pixels(50))
    assert row["max_logit_difference"] > 1e-3
    assert row["same_predictions"] < 0.5


def test_exporting_says_nothing_and_leaves_one_file_a_format(exported):
    _, exports, said = exported
    assert said == ""
    folder = exports[0].path.parent
    assert {path.name for path in folder.iterdir()} == {file.path.name for file in exports}


def test_no_export_tells_a_path_of_this_machine(exported):
    for file in exported[1]:
        content = file.path.read_bytes()
        assert str(project_root()).encode() not in content
        assert b"site-packages" not in content


def test_every_format_is_timed_at_every_batch_size(exported):
    times = export.measure(exported[1], pixels(4), batch_sizes=(1, 6), seconds=0.01, rounds=2)
    assert list(times) == [file.name for file in exported[1]]
    assert all(list(sizes) == [1, 6] and min(sizes.values()) > 0 for sizes in times.values())


def test_the_engine_needs_the_checkpoint_and_nothing_else(engine, exported):
    image = (pixels(1)[0] * 255).to(torch.uint8)
    with torch.inference_mode():
        expected = exported[0](image[None].float() / 255).softmax(1)[0]
    found = engine.predict(image)
    assert tuple(found.probabilities) == CLASSES
    assert list(found.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert found.label == CLASSES[expected.argmax()]
    assert found.confidence == max(found.probabilities.values())
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-12)


def test_the_same_picture_gives_the_same_answer_in_every_form(engine, picture, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(picture).save(path)
    tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    forms = [
        path, str(path), Image.open(path), picture, picture / 255, (picture / 255).astype("f4"),
        tensor, tensor / 255, np.dstack([picture, np.full((80, 60), 255, np.uint8)]),
        Image.fromarray(picture).convert("RGBA"),
    ]  # fmt: skip
    first, *others = engine.batch_predict(forms)
    assert first.label == engine.predict(path).label
    for other in [engine.predict(path), *others]:
        assert other.probabilities == pytest.approx(first.probabilities, abs=1e-6)


@pytest.mark.parametrize(
    "shape", [(32, 32, 3), (97, 150, 3), (1, 1, 3), (5, 400, 3), (33, 31), (40, 40, 1), (64, 48, 4)]
)
@pytest.mark.parametrize("floats", [False, True])
def test_pictures_of_any_size_and_in_grey_are_taken(engine, shape, floats):
    image = np.random.default_rng(0).random(shape)
    found = engine.predict(image if floats else (255 * image).astype(np.uint8))
    assert found.label in CLASSES
    assert 0.25 <= found.confidence <= 1


def test_a_grey_picture_is_the_same_in_colour(engine, picture):
    grey = picture[..., 0]
    expected = engine.predict(np.dstack([grey] * 3)).probabilities
    for form in (grey, grey[..., None], torch.from_numpy(grey.copy())[None]):
        assert engine.predict(form).probabilities == pytest.approx(expected, abs=1e-6)


def test_a_photograph_taken_upright_is_seen_upright(picture):
    turned = Image.fromarray(np.rot90(picture))
    turned.getexif()[0x0112] = 6  # "rotate by 90 degrees clockwise to show"
    np.testing.assert_array_equal(np.asarray(to_rgb(turned)), picture)


def test_a_batch_keeps_its_order_whatever_it_is_split_into(engine, picture):
    pictures = [np.roll(picture, shift, axis=2) for shift in range(3)] * 3
    single = [engine.predict(image).probabilities for image in pictures]
    for batch_size in (1, 4, 64):
        found = engine.batch_predict(pictures, batch_size)
        for one, other in zip(single, found, strict=True):
            assert other.probabilities == pytest.approx(one, abs=1e-6)
    assert engine.batch_predict([]) == []
    assert len(engine.batch_predict(np.stack(pictures))) == 9


@pytest.mark.parametrize(
    ("nonsense", "sentence"),
    [
        (np.zeros((32, 32, 2), np.uint8), "shape"),
        (np.zeros((3, 32, 32), np.uint8), "shape"),
        (np.zeros((0, 32, 3), np.uint8), "shape"),
        (np.zeros((2, 32, 32, 3), np.uint8), "shape"),
        (torch.zeros(32, 32, 3, dtype=torch.uint8), "shape"),
        (np.zeros((32, 32, 3), np.int64), "int64"),
        (np.zeros((32, 32), bool), "bool"),
        (np.full((32, 32, 3), 255.0), "outside 0..1"),
        (np.full((32, 32, 3), np.nan), "outside 0..1"),
        (Image.new("I;16", (32, 32)), "mode I;16"),
        ("no/such/file.png", "no file"),
        (7, "int is not an image"),
        (None, "NoneType is not an image"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(engine, nonsense, sentence):
    with pytest.raises(LabError, match=sentence) as caught:
        engine.predict(nonsense)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_image_is_refused_in_a_sentence(engine, tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(LabError, match=r"broken\.png cannot be read as an image"):
        engine.predict(path)


def test_a_truncated_photograph_is_refused(engine, tmp_path, picture):
    path = tmp_path / "cut.jpg"
    Image.fromarray(picture).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(LabError, match="cannot be read as an image"):
        engine.predict(path)


@pytest.mark.parametrize("single", ["a.png", Image.new("RGB", (8, 8))])
def test_a_single_picture_is_no_batch(engine, single):
    with pytest.raises(LabError, match="use predict"):
        engine.batch_predict(single)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(LabError, match="run 04_training first"):
        InferenceEngine(tmp_path / "best.pt")


def test_the_model_card_holds_the_numbers(checkpoint, exported, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS_DIR", str(tmp_path))
    run = Run.create(SETTINGS, "card")
    run.begin("04_training")
    metrics = {
        "parameters": 619_268, "epochs": 7, "best_epoch": 3, "train_seconds": 1234.5,
        "device": "cpu", "precision": "float32", "test_images": 60, "test_accuracy": 0.6123,
        "test_accuracy_low": 0.4871, "test_accuracy_high": 0.7242, "test_loss": 1.0987,
        "macro_f1": 0.5994, "ece": 0.0712, "tta": "none", "test_accuracy_one_view": 0.6123,
    }  # fmt: skip
    per_class = [{"class": name, "recall": 0.5 + i / 10} for i, name in enumerate(CLASSES)]
    pairs = [{"true": "ant", "predicted": "bee", "count": 3, "share": 0.21}]
    formats = export.compare(*exported[:2], pixels(4))
    formats = [row | {"latency_ms": 1.234} for row in formats]
    best = load_pixel_model(checkpoint)[1]
    evaluation = {"per_class": per_class, "confused_pairs": pairs}
    card = model_card(run, dataset(), best, metrics, evaluation, formats)
    for part in (
        "# Model card: simplecnn on Animals", "619,268 parameters", "7 epochs in 1,234 s",
        "after epoch 3", "61.23% (95% interval 48.71% to 72.42%)", "1.099", "0.599", "0.071",
        "Best class: dog (80.0% found)", "ant\n(50.0% found)", "21% of ant images are called bee",
        "`model.onnx` | 2.49 MB | 1.23 ms", "(batch, 3, 32, 32)", "ant, bee, cow, dog", "CC0",
    ):  # fmt: skip
        assert part in card
    flawless = model_card(
        run, dataset(), best, metrics, evaluation | {"confused_pairs": []}, formats
    )
    assert "No test image was misclassified." in flawless
