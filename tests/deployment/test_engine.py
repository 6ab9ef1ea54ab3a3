"""What the lab promises of the inference engine."""

import numpy as np
from PIL import Image
import pytest
import torch

from lab_utils import LabError
from lab_utils.deployment.engine import InferenceEngine, to_rgb

CLASSES = ("ant", "bee", "cow", "dog")


def test_the_engine_needs_the_checkpoint_and_nothing_else(engine, exported, pixels):
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
