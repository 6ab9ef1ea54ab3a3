"""The model card, the figures and what was found say what was measured."""

from dataclasses import replace
import re
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import torch

from lab_utils.core.files import read_json, write_json
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.deployment import findings
from lab_utils.deployment.compare import Format
from lab_utils.deployment.engine import Engine, Prediction
from lab_utils.deployment.figures import latency, variants
from lab_utils.deployment.findings import facts
from lab_utils.deployment.model_card import CARD, LOADING, write_card
from lab_utils.deployment.pixel_model import About

CLASSES = ("ant", "bee", "cow", "dog")
METRICS = {
    "parameters": 619_268, "epochs": 7, "best_epoch": 3, "train_seconds": 1234.5,
    "device": "cpu", "precision": "float32", "test_images": 60, "test_accuracy": 0.6123,
    "test_accuracy_low": 0.4871, "test_accuracy_high": 0.7242, "test_loss": 1.0987,
    "macro_f1": 0.5994, "ece": 0.0712, "tta": "none", "test_accuracy_one_view": 0.6012,
    "ece_scaled": 0.0312, "temperature": 1.2345, "test_correct": 37, "macro_precision": 0.6,
    "macro_recall": 0.6, "macro_auc": 0.8, "data": "folder", "data_is_cifar10": False, "flops": 9,
    "val_accuracy": 0.6,
}  # fmt: skip
_HIT = {"strength": 2, "low": 0.0, "high": 0.5}
INSIGHT = {
    "insight_images": 50, "insight_accuracy": 0.6, "corruption_accuracy": 0.432,
    "fgsm_accuracy": 0.2, "pgd_accuracy": 0.087, "grad_cam_cells": None, "heat_in_the_middle": None,
    "corruptions": [_HIT | {"damage": "blur", "accuracy": 0.432}],
    "attacks": [_HIT | {"damage": "PGD", "accuracy": 0.087}],
}  # fmt: skip
_SCORES = {"precision": 0.6, "f1": 0.6, "support": 15}
EVALUATION = {
    "per_class": [
        _SCORES | {"class": name, "recall": 0.5 + i / 10} for i, name in enumerate(CLASSES)
    ],
    "confused_pairs": [{"true": "ant", "predicted": "bee", "count": 3, "share": 0.21}],
    "confusion": [[0] * 4] * 4, "reliability": [], "criteria": [],
}  # fmt: skip
FORMATS = [
    Format("safetensors", "exports/model.safetensors", 2_480_000, 0.0, 1.0, 0.61, 0, 0, 0,
           "PyTorch", 2.5, 3.5, {1: 400, 8: 900}),
    Format("ONNX", "exports/model.onnx", 2_490_000, 3e-6, 1.0, 0.61, 0, 0, 0, "an engine", 1.234,
           2.5, {1: 810, 8: 700}),
    Format("int8 ONNX", "exports/model_int8.onnx", 650_000, 0.31, 0.98, 0.6, -0.01, -0.02, 0.001,
           "an engine", 0.8, 0.9, {1: 1250, 8: 2000}),
]  # fmt: skip
RECORD = {
    "formats": FORMATS, "images_compared": 512, "threshold": 0.8, "sure_share": 0.4,
    "sure_accuracy": 0.94, "temperature": 1.2345,
    "jpeg": {"quality": 75, "images": 60, "accuracy": 0.58, "difference": -0.032, "low": -0.05,
             "high": -0.01},
}  # fmt: skip


@pytest.fixture
def card(runs):
    """Writes the card of a run with these ``metrics``, this ``evaluation`` and its insight."""

    def write(settings=None, insight=None, **changes):
        run = Run.create(settings or Settings(experiment="smoke"), "card")
        run.begin("04_training")
        if insight:
            run.begin("09_insight")
            run.record(**insight)
            run.finish()
        evaluation = EVALUATION | {k: v for k, v in changes.items() if k in EVALUATION}
        metrics = METRICS | {k: v for k, v in changes.items() if k not in EVALUATION}
        write_json(run.file("metrics.json"), metrics)
        write_json(run.file("evaluation.json"), evaluation)
        split = Split(torch.zeros(60, 3, 32, 32, dtype=torch.uint8), torch.arange(60) % 4)
        dataset = Dataset("folder", "Animals", "our camera", "CC0", CLASSES, split, split, "f00d")
        return write_card(run, RECORD | facts(dataset))

    return write


def test_the_model_card_holds_the_numbers(card):
    text = card()
    for part in (
        "# Model card: SimpleCNN on Animals", "619,268 parameters", "7 epochs in 1,234 s",
        "Trained from scratch by run `card`", "after epoch 3", "1.099", "0.599", "0.071",
        "61.23% (95% interval 48.71% to 72.42%)", "60 test images, by which this run chose nothing",
        "Best class: dog (80.0% found)", "ant (50.0% found)", "21% of ant images are called bee",
        "ONNX | 2.49 MB | 61.00% | 1.23 ms", "(batch, 3, 32, 32)", "ant, bee, cow, dog", "CC0",
        "`['ant', 'bee', 'cow', 'dog'][logits.argmax()]`", '{"pixels": pixels}',
        "by 3.1 with the\n  temperature 1.234", "From a confidence of 80.0% on",
        "94.0% on the test images, of which 40.0% are sure", "58.0% of the test images are right",
        "-3.2 points",
    ):  # fmt: skip
        assert part in text
    assert "\n\n\n" not in text and text.endswith("`.\n")
    assert "several views" not in text


def test_the_model_card_tells_what_damage_and_attacks_do(card):
    text = card(insight=INSIGHT)
    assert "Of 50 test images it gets 60.0% right as they are and 43.2%\n  with noise" in text
    assert "8.7% of them are still right where an attacker" in text
    assert "used once" not in text and "scale or background were not tested" not in text


def test_a_model_card_without_these_measurements_leaves_them_out(card):
    text = card(confused_pairs=[])
    assert "noise, blur" not in text and "attacker" not in text
    assert "No test image was misclassified." in text


def test_a_model_card_says_that_the_files_see_one_view_and_that_weights_came_from_imagenet(card):
    settings = Settings(experiment="smoke", model="resnet18", pretrained=True)
    text = card(settings, tta="flip")
    assert "| accuracy of these files | 60.12%: the figures above average several views" in text
    assert "Fine-tuned from ImageNet weights" in text


def test_the_figure_of_latency_names_the_quickest():
    drawing = latency(FORMATS, threads=2)
    assert drawing.file == "figures/latency.svg"
    assert "(threads: 2). int8 ONNX is the quickest with one image, 0.80 ms" in drawing.caption
    assert "from 0.80 to 2.50 ms" in drawing.alt


def test_forms_of_one_picture_are_shown_with_their_answers():
    picture = np.zeros((8, 8, 3), np.uint8)
    answers = [
        Prediction("ant", 0.9, {}, True), Prediction("ant", 0.6, {}, False),
        Prediction("bee", 0.5, {}, False),
    ]  # fmt: skip
    drawing = variants({"file": picture, "wide": picture, "grey": picture}, answers)
    assert drawing.file == "figures/variants.png"
    assert drawing.caption == (
        "The same picture in 3 forms: 2 of them are called ant; of 2 the engine is not sure "
        "(question mark)."
    )
    assert drawing.alt.endswith("file, ant at 90%; wide, ant at 60%; grey, bee at 50%.")


def test_what_we_found_is_drawn_from_the_record():
    found = findings.what_we_found(RECORD)
    for words in (
        "- 2 of 2 float files, run where the lab is unknown, give the same prediction for all 512",
        "largest difference of a logit is 3e-06", "int8 changes the accuracy by -1.00 points",
        "0.80 ms with int8 ONNX, 2.50 ms with PyTorch",
        "2,000 images/s with int8 ONNX in batches of 8", "0.65 to 2.49 MB",
        "JPEG compression changes the accuracy by -3.2 points", "40% of the answers are sure",
    ):  # fmt: skip
        assert words in found


def test_the_speed_of_the_formats_in_words():
    found = findings.speed(FORMATS)
    assert "2.50 ms with PyTorch and 0.80 ms with int8 ONNX: 3.1 times as fast" in found
    assert "int8 ONNX does 2,000 images/s, 2.2 times PyTorch's rate" in found
    assert "measure again" not in found
    slow = [replace(FORMATS[0], latency_ms=99.0), *FORMATS[1:]]
    assert "measure again" in findings.speed(slow)


def test_how_many_answers_are_sure_and_right():
    logits = torch.tensor([[2.0, 0], [0, 3], [0.1, 0], [4, 0]])
    about = About(("a", "b"), 32, (), (), 1.0, 0.8, 0.95, "simplecnn", {}, "", None, "")
    found, words = findings.sure(logits, torch.tensor([0, 1, 1, 1]), about)
    assert found["sure_share"] == 0.75 and found["sure_accuracy"] == pytest.approx(2 / 3)
    assert "75.0% are, and 66.7% of these answers are right" in words
    found, words = findings.sure(logits, torch.zeros(4), replace(about, threshold=None))
    assert (found["sure_share"], found["sure_accuracy"]) == (0, None) and "No answer" in words


def test_the_lines_that_load_each_export_give_the_engines_answer(exported, card, tmp_path):
    """The three lines of each format, as they stand in the card, run as a program of their own."""
    _, _, files, _ = exported
    text = card()
    Image.new("RGB", (50, 40), "#336699").save(files["ONNX"].with_name("picture.png"))
    prepare, *blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    _, *names = re.findall(r"^([\w. ]+):\n\n```python", text, re.MULTILINE)
    assert len(blocks) == len(names) == len(FORMATS)
    expected = Engine(files["ONNX"]).predict(files["ONNX"].with_name("picture.png"))
    for name, lines in LOADING.items():
        assert len(lines.splitlines()) == 3
        assert name not in names or lines + "\n" in blocks
        if name in files:
            code = f"{prepare}\n{lines}\nprint({list(CLASSES)}[logits.argmax()])"
            done = subprocess.run([sys.executable, "-c", code], cwd=files[name].parent,
                                  capture_output=True, text=True)  # fmt: skip
            assert done.stdout.strip() == expected.label, (name, done.stderr)
    files["ONNX"].with_name("picture.png").unlink()


def test_the_card_lies_beside_the_exports(card, runs):
    text = card()
    assert (runs / "card" / CARD).read_text(encoding="utf-8") == text


def test_a_row_of_deployment_json_keeps_its_keys(tmp_path):
    rows = [replace(FORMATS[0], throughput={1: 400.0})]
    write_json(tmp_path / "deployment.json", {"formats": rows})
    assert read_json(tmp_path / "deployment.json")["formats"] == [{
        "name": "safetensors", "file": "exports/model.safetensors", "bytes": 2_480_000,
        "max_logit_difference": 0.0, "same_predictions": 1.0, "accuracy": 0.61,
        "difference": 0, "difference_low": 0, "difference_high": 0, "note": "PyTorch",
        "latency_ms": 2.5, "latency_p99_ms": 3.5, "throughput": {"1": 400.0},
    }]  # fmt: skip
