"""What the lab promises of the engine."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
import shutil

from exports import export_all
import numpy as np
from PIL import Image
import pytest
import torch

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.manifest import checksums
from lab_utils.deployment import formats
from lab_utils.deployment.engine import Engine, Prediction
from lab_utils.deployment.pixel_model import load_pixel_model

CLASSES = ("ant", "bee", "cow", "dog")


def test_the_engine_needs_the_checkpoint_and_nothing_else(engine, checkpoint, pixels):
    model, _ = load_pixel_model(checkpoint)
    image = (pixels(1)[0] * 255).to(torch.uint8)
    with torch.inference_mode():
        expected = model(image[None].float() / 255).softmax(1)[0]
    found = engine.predict(image)
    assert (engine.kind, engine.classes, engine.image_size) == ("checkpoint", CLASSES, 32)
    assert tuple(found.probabilities) == CLASSES
    assert list(found.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert found.label == CLASSES[expected.argmax()]
    assert found.confidence == max(found.probabilities.values())
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-12)


def test_every_export_gives_the_engine_the_same_answers(exported, picture):
    _, about, files, _ = exported
    engines = [Engine(file) for file in files.values()]
    first = engines[0].predict(picture)
    for kind, engine in zip(files, engines, strict=True):
        assert engine.kind == kind and engine.about == about
        assert (engine.classes, engine.image_size, engine.threshold) == (CLASSES, 32, 0.3)
        assert engine.predict(picture).probabilities == pytest.approx(first.probabilities, abs=1e-5)


def test_what_the_network_sees_is_what_is_shown(engine, picture):
    seen = engine.prepared(Image.fromarray(picture))
    assert (seen.mode, seen.size) == ("RGB", (32, 32))
    assert engine.predict(seen) == engine.predict(picture)


def test_an_answer_is_sure_from_the_threshold_on(exported, picture):
    engine = Engine(exported[2]["ONNX"])
    confidence = engine.predict(picture).confidence
    for threshold, sure in (
        (confidence, True), (confidence + 1e-9, False), (0.0, True), (None, False)
    ):  # fmt: skip
        engine.threshold = threshold
        assert engine.predict(picture).sure is sure


def test_the_likeliest_classes_come_first():
    found = Prediction("bee", 0.6, {"ant": 0.1, "bee": 0.6, "cow": 0.3}, True)
    assert found.top(2) == [("bee", 0.6), ("cow", 0.3)]
    assert found.top(9) == [("bee", 0.6), ("cow", 0.3), ("ant", 0.1)]


@pytest.mark.parametrize("kind", ["ONNX", "TorchScript", "torch.export", "safetensors"])
def test_a_batch_keeps_its_order_whatever_it_is_split_into(exported, picture, kind):
    engine = Engine(exported[2][kind])
    pictures = [np.roll(picture, shift, axis=2) for shift in range(3)] * 3
    single = [engine.predict(image).probabilities for image in pictures]
    for batch_size in (1, 4, 64):
        found = engine.batch_predict(pictures, batch_size)
        for one, other in zip(single, found, strict=True):
            assert other.probabilities == pytest.approx(one, abs=1e-5)
    assert engine.batch_predict([]) == []
    assert len(engine.batch_predict(np.stack(pictures))) == 9


@pytest.mark.parametrize("kind", ["ONNX", "TorchScript", "torch.export", "safetensors"])
def test_threads_share_an_engine(exported, picture, kind):
    engine = Engine(exported[2][kind])
    pictures = [np.roll(picture, shift, axis=0) for shift in range(40)]
    expected = [engine.predict(image).confidence for image in pictures]
    with ThreadPoolExecutor(8) as pool:
        found = [answer.confidence for answer in pool.map(engine.predict, pictures)]
    assert found == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 1e-3


@pytest.mark.parametrize("single", ["a.png", b"png", Image.new("RGB", (8, 8))])
def test_a_single_picture_is_no_batch(engine, single):
    with pytest.raises(LabError, match="use predict"):
        engine.batch_predict(single)


def test_of_many_pictures_the_bad_one_is_named(engine, picture):
    with pytest.raises(LabError, match=r"^Picture 2: The picture is not an image"):
        engine.batch_predict([picture, b"nonsense", picture])


@pytest.fixture
def folder(checkpoint, exported, tmp_path):
    """A copy of the run folder, with checkpoint and exports."""
    shutil.copytree(checkpoint.parent.parent, tmp_path / "copy")
    return tmp_path / "copy"


def test_of_a_run_folder_the_onnx_file_is_taken(folder):
    assert Engine(folder).kind == "ONNX"
    (folder / "checkpoints/best.pt").unlink()
    assert Engine(folder).kind == "ONNX"
    (folder / "exports/model.onnx").unlink()
    with pytest.raises(LabError, match="holds no trained model"):
        Engine(folder)


def test_without_a_sound_onnx_file_the_checkpoint_is_taken(folder):
    (folder / "exports/model.onnx").write_bytes(b"broken")
    assert Engine(folder).kind == "checkpoint"
    (folder / "exports/model.onnx").unlink()
    assert Engine(folder).kind == "checkpoint"


def test_of_a_run_folder_only_files_as_the_run_left_them_are_taken(folder, capfd):
    """A flipped bit of an ONNX file, or another model's checkpoint, shows nowhere else."""
    names = {"04_training": "checkpoints/best.pt", "06_deployment": "exports/model.onnx"}
    manifest = {
        s: {"status": "done", "sha256": checksums(folder, s, [n])} for s, n in names.items()
    }
    write_json(folder / "manifest.json", manifest)
    assert Engine(folder).kind == "ONNX"
    flip(folder / "exports/model.onnx")
    assert Engine(folder).kind == "checkpoint"
    (folder / "checkpoints/best.pt").write_bytes(b"of another run")
    with pytest.raises(LabError, match=r"best\.pt is not as 04_training left it; put it back, or"):
        Engine(folder)


def test_a_threshold_of_another_run_is_not_taken(folder):
    (folder / "exports/model.onnx").unlink()
    (folder / "settings.yaml").write_text("experiment: quick\n")
    record = {"formats": [], "images_compared": 60, "temperature": 2.0, "threshold": None}
    write_json(folder / "deployment.json", record)
    names = checksums(folder, "06_deployment", ["deployment.json"])
    write_json(folder / "manifest.json", {"06_deployment": {"status": "done", "sha256": names}})
    assert (Engine(folder).about.temperature, Engine(folder).threshold) == (2.0, None)
    write_json(folder / "deployment.json", record | {"temperature": 3.0, "threshold": 0.5})
    with pytest.raises(LabError, match=r"deployment\.json is not as 06_deployment left it"):
        Engine(folder)
    write_json(folder / "deployment.json", record | {"temperature": "hot"})
    write_json(folder / "manifest.json", {"06_deployment": {"status": "done"}})
    with pytest.raises(
        LabError, match=r"deployment\.json is damaged \(temperature\); run 06_deployment again"
    ):
        Engine(folder)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["checkpoint", "torch.export", "TorchScript"])
def test_a_flipped_bit_in_a_file_that_has_checksums_is_found(folder, kind, capfd):
    path = {"checkpoint": folder / "checkpoints/best.pt"}.get(kind)
    path = path or folder / "exports" / formats.FILES[kind]
    flip(path)
    with pytest.raises(LabError, match=path.name):
        Engine(path)
    assert capfd.readouterr().err == ""


def test_after_another_training_the_old_exports_are_not_taken(folder, picture):
    model, about = load_pixel_model(folder / "checkpoints/best.pt")
    old = replace(about, checkpoint="0" * 16)
    export_all(model, old, folder / "exports")
    assert Engine(folder).kind == "checkpoint"


def test_without_onnx_runtime_the_checkpoint_is_taken(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert Engine(folder).kind == "checkpoint"
    with pytest.raises(LabError, match="onnxruntime is not installed"):
        Engine(folder / "exports/model.onnx")


@pytest.mark.parametrize("name", ["best.pt", *formats.FILES.values()])
def test_what_is_no_model_is_refused_in_a_sentence(tmp_path, name):
    with pytest.raises(LabError, match="There is no file"):
        Engine(tmp_path / name)
    for content in (b"", b"nonsense", b"PK\x03\x04 broken"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LabError) as caught:
            Engine(tmp_path / name)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_weights_alone_are_not_enough(tmp_path, exported):
    torch.save(exported[0].state_dict(), tmp_path / "weights.pt")
    with pytest.raises(LabError, match="damaged"):
        Engine(tmp_path / "weights.pt")


def test_a_runs_checkpoint_is_never_run_as_code(tmp_path):
    class Writes(torch.nn.Module):
        def forward(self, x):
            return x

    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.jit.script(Writes()).save(str(run / "checkpoints/best.pt"))
    loaded = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.jit, "load", lambda *a, **k: loaded.append(a))
        with pytest.raises(LabError, match=r"best\.pt"):
            Engine(run)
    assert loaded == []
