"""What a step vouches for: its files as it left them, told from damaged ones and from others'."""

import hashlib
import json
import os

import pytest

from lab_utils import LabError
from lab_utils.core.drawing import Drawing, new_figure
from lab_utils.core.files import write_json
from lab_utils.core.manifest import check, checksums
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run


def drawing(height):
    figure, ax = new_figure(2, 1)
    ax.plot([1, height])
    return Drawing("loss_curves", figure, f"It rises to {height}.", f"A curve to {height}.")


@pytest.fixture
def run(runs, monkeypatch):
    """A run with a finished training and evaluation, and one figure."""
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    run = Run.create(load_settings("smoke"))
    run.begin("04_training")
    run.show(drawing(2))
    run.file("checkpoints").mkdir()
    for name in ("history.csv", "checkpoints/best.pt", "checkpoints/last.pt"):
        run.file(name).write_text(name)
    run.finish()
    run.begin("05_evaluation")
    run.record(test_accuracy=0.5)
    run.file("predictions.npz").write_bytes(b"logits")
    run.finish()
    return run


def test_a_finished_step_vouches_for_what_it_wrote(run):
    assert set(run.manifest["04_training"]["sha256"]) == {
        "settings.yaml", "training.json", "history.csv", "checkpoints/best.pt",
        "figures/loss_curves.svg", "figures.json",
    }  # fmt: skip
    assert set(run.manifest["05_evaluation"]["sha256"]) == {
        "settings.yaml", "evaluation.json", "metrics.json", "predictions.npz", "figures.json",
    }  # fmt: skip
    run.check("04_training")
    run.check("05_evaluation")


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("04_training", "history.csv"),
        ("04_training", "checkpoints/best.pt"),
        ("04_training", "settings.yaml"),
        ("04_training", "figures/loss_curves.svg"),
        ("05_evaluation", "metrics.json"),
        ("05_evaluation", "predictions.npz"),
    ],
)
def test_one_flipped_bit_is_found_and_the_file_and_the_mend_are_named(run, step, name):
    content = bytearray(run.file(name).read_bytes())
    content[len(content) // 2] ^= 1
    run.file(name).write_bytes(content)
    with pytest.raises(LabError, match=rf"{name} is not as {step} left it; .* run {step} again"):
        run.check(step)
    run.check(step, name)  # who does not read it is not stopped by it


def test_a_file_that_is_gone_is_said_to_be(run):
    run.file("metrics.json").unlink()
    with pytest.raises(LabError, match=r"metrics\.json is missing"):
        run.check("05_evaluation")


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
@pytest.mark.parametrize("way", ["dots", "an absolute path", "a link", "too long", "a pipe"])
def test_what_is_no_file_of_the_run_is_missing_and_not_read(run, tmp_path, way):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    names = {"dots": "../secret", "an absolute path": str(secret), "too long": "x" * 5000}
    name = names.get(way, "other")
    if way == "a link":
        run.file(name).symlink_to(secret)
    elif way == "a pipe":
        os.mkfifo(run.file(name))
    noted = {name: hashlib.sha256(b"mine").hexdigest()}
    assert checksums(run.path, "05_evaluation", [name]) == {}
    with pytest.raises(LabError, match="is missing"):
        check(run.path, "05_evaluation", noted)


def test_a_step_is_not_begun_on_files_that_were_changed(run):
    run.file("checkpoints/best.pt").write_text("of another run")
    with pytest.raises(LabError, match=r"best\.pt is not as 04_training left it"):
        run.require("04_training")
    run.require("05_evaluation")


def test_a_caption_of_another_run_is_found_and_figures_of_other_steps_are_not_asked(run):
    texts = run.read_json("figures.json")
    write_json(run.file("figures.json"), texts | {"new": texts["loss_curves"] | {"step": "09"}})
    run.check("04_training")
    texts["loss_curves"]["caption"] = "It rises to 3."
    write_json(run.file("figures.json"), texts)
    with pytest.raises(LabError, match=r"figures\.json is not as 04_training left it"):
        run.check("04_training")


def test_a_figure_that_is_drawn_again_after_the_step_is_vouched_for_and_nothing_else(run):
    run.step = "04_training"
    run.file("history.csv").write_text("of another run")
    run.show(drawing(3))
    with pytest.raises(LabError, match=r"history\.csv"):
        run.check("04_training")
    run.check("04_training", "history.csv")


def test_the_students_words_and_the_card_are_nobodys(run):
    run.file("exports").mkdir()
    for name in ("model.onnx", "model_card.md"):
        run.file(f"exports/{name}").write_text(name)
    run.begin("06_deployment")
    run.finish()
    for name in ("exports/model_card.md", "discussion.md", "report.yaml", "checkpoints/last.pt"):
        run.file(name).write_text("changed")
    for step in ("04_training", "05_evaluation", "06_deployment"):
        run.check(step)
    assert "exports/model.onnx" in run.manifest["06_deployment"]["sha256"]


def test_a_run_of_an_older_lab_has_no_checksums_and_is_read(run):
    manifest = run.manifest
    for entry in manifest.values():
        del entry["sha256"]
    write_json(run.file("manifest.json"), manifest)
    run.file("history.csv").write_text("of another run")
    run.check("04_training")
    run.require("05_evaluation")


@pytest.mark.parametrize(
    "content",
    [
        "[]", "null", "{", '{"04_training": null}', '{"04_training": {}}', "[" * 5000,
        '{"04_training": {"status": "done", "data": 3}}', '{"04_training": {"status": "maybe"}}',
        '{"04_training": {"status": "done", "started": "yesterday"}}',
        '{"04_training": {"status": "done", "seconds": "long"}}',
        '{"04_training": {"status": "done", "sha256": ["a"]}}',
        '{"04_training\\n\\u001b[31m": 3}', '{"%s": 3}' % ("x" * 9999),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_one_sentence(run, content):
    run.file("manifest.json").write_text(content)
    with pytest.raises(LabError, match=r"manifest\.json .*; delete it") as caught:
        run.done("04_training")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "figures",
    [
        [], {"a": 1}, {"a": {}}, {"a": {"step": "04", "file": 3}},
        *({"a": {"step": "04", "file": name, "caption": "", "alt": ""}}
          for name in ("a\0b", "figures/a\0.svg", "../a.svg", "figures/../../a.svg", "/a.png",
                       "a.svg", "figures/a.svg\n", "figures/a.pdf")),
    ],
)  # fmt: skip
def test_damaged_texts_of_figures_are_one_sentence(run, figures):
    run.file("figures.json").write_text(json.dumps(figures))
    with pytest.raises(LabError, match=r"figures\.json is damaged"):
        run.check("04_training")
