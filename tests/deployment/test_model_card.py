"""The model card, the figures and what was found say what was measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lab_utils.core.files import read_json, write_json
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.deployment.engine import Prediction
from lab_utils.deployment.export import Format, what_we_found
from lab_utils.deployment.figures import latency, variants
from lab_utils.deployment.model_card import model_card
from lab_utils.training.checkpoints import Best

CLASSES = ("ant", "bee", "cow", "dog")
METRICS = {
    "parameters": 619_268, "epochs": 7, "best_epoch": 3, "train_seconds": 1234.5,
    "device": "cpu", "precision": "float32", "test_images": 60, "test_accuracy": 0.6123,
    "test_accuracy_low": 0.4871, "test_accuracy_high": 0.7242, "test_loss": 1.0987,
    "macro_f1": 0.5994, "ece": 0.0712, "tta": "none", "test_accuracy_one_view": 0.6012,
}  # fmt: skip
INSIGHT = {
    "insight_images": 50, "insight_accuracy": 0.6, "corruption_accuracy": 0.432,
    "pgd_accuracy": 0.087,
}  # fmt: skip
EVALUATION = {
    "per_class": [{"class": name, "recall": 0.5 + i / 10} for i, name in enumerate(CLASSES)],
    "confused_pairs": [{"true": "ant", "predicted": "bee", "count": 3, "share": 0.21}],
}
FORMATS = [
    Format(
        "state dict", "exports/weights.pt", 2_480_000, 0.0, 1.0, "PyTorch", 2.5, {1: 400, 8: 900}
    ),
    Format(
        "ONNX", "exports/model.onnx", 2_490_000, 3e-6, 0.98, "an engine", 1.234, {1: 810, 8: 700}
    ),
]


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
        best = Best("simplecnn", {}, 32, CLASSES, dataset.normalization, 3, 0.25)
        return model_card(run, dataset, best, FORMATS)

    return write


def test_the_model_card_holds_the_numbers(card):
    text = card()
    for part in (
        "# Model card: simplecnn on Animals", "619,268 parameters", "7 epochs in 1,234 s",
        "Trained from scratch by run `card`", "after epoch 3", "1.099", "0.599", "0.071",
        "61.23% (95% interval 48.71% to 72.42%)", "60 test images, by which this run chose nothing",
        "Best class: dog (80.0% found)", "ant\n(50.0% found)", "21% of ant images are called bee",
        "`model.onnx` | 2.49 MB | 1.23 ms", "(batch, 3, 32, 32)", "ant, bee, cow, dog", "CC0",
        "print(['ant', 'bee', 'cow', 'dog'][logits.argmax()])", '{"pixels": pixels}',
    ):  # fmt: skip
        assert part in text
    assert "\n\n\n" not in text and text.endswith("```\n")
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
    assert "(threads: 2). ONNX is the quickest with one image, 1.23 ms" in drawing.caption
    assert "from 1.23 to 2.50 ms" in drawing.alt


def test_forms_of_one_picture_are_shown_with_their_answers():
    picture = np.zeros((8, 8, 3), np.uint8)
    answers = [Prediction("ant", 0.9, {}), Prediction("ant", 0.6, {}), Prediction("bee", 0.5, {})]
    drawing = variants({"file": picture, "wide": picture, "grey": picture}, answers)
    assert drawing.file == "figures/variants.png"
    assert drawing.caption == "The same picture in 3 forms: 2 of them are called ant."
    assert drawing.alt.endswith("file, ant at 90%; wide, ant at 60%; grey, bee at 50%.")


def test_what_we_found_is_drawn_from_the_record():
    found = what_we_found({"formats": FORMATS, "images_compared": 512})
    for words in (
        "- 1 of 2 exported files give the same prediction for all 512 images",
        "largest difference of a logit is 3e-06", "1.23 ms with ONNX, 2.50 ms\n  with PyTorch",
        "900 images/s with state dict in batches of 8", "2.48 to 2.49 MB",
    ):  # fmt: skip
        assert words in found


def test_a_row_of_deployment_json_keeps_its_keys(tmp_path):
    rows = [replace(FORMATS[0], throughput={1: 400.0})]
    write_json(tmp_path / "deployment.json", {"formats": rows})
    assert read_json(tmp_path / "deployment.json")["formats"] == [{
        "name": "state dict", "file": "exports/weights.pt", "bytes": 2_480_000,
        "max_logit_difference": 0.0, "same_predictions": 1.0, "note": "PyTorch",
        "latency_ms": 2.5, "throughput": {"1": 400.0},
    }]  # fmt: skip
