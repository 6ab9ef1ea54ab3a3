"""What notebook 05 says and draws of its results."""

import numpy as np
import pytest
import torch
from torch import nn

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Split
from lab_utils.evaluation import figures, metrics
from lab_utils.evaluation.findings import most_frequent_error, sureness, verdict, what_we_found
from lab_utils.evaluation.metrics import Bin, Criterion


def answers(predicted, classes):
    """Logits whose largest is the predicted class."""
    return 5 * nn.functional.one_hot(torch.as_tensor(predicted), classes).float()


def bins(confidence, accuracy, count=1000):
    """Bins of which one is filled."""
    return [Bin(0.0, 0.5, 0, None, None), Bin(0.5, 1.0, count, confidence, accuracy)]


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (0.90, "overconfident by 10.0 points"),
        (0.70, "too modest by 10.0 points"),
        (0.81, "as sure as it is right"),
    ],
)
def test_the_mean_confidence_is_held_against_the_interval_of_the_accuracy(confidence, words):
    assert words in sureness(bins(confidence, 0.80))


def test_the_verdict_names_what_is_not_met_and_what_was_not_measured():
    met, missed, unknown = (Criterion("A B", "7", passed) for passed in (True, False, None))
    assert verdict([met, met]) == "All 2 criteria are met."
    assert verdict([met, missed]) == "1 of 2 criteria not met: a b (7)."
    assert verdict([missed, unknown]) == (
        "1 of 2 criteria not met: a b (7). 1 of 2 criteria not measured: a b (7)."
    )


def test_the_most_frequent_error_is_told_the_right_way_round():
    counts = np.array([[8, 2], [0, 10]])
    pairs = metrics.confused_pairs(counts, ["cat", "dog"])
    assert most_frequent_error(pairs) == (
        "The most frequent error is cat taken for dog: 2 images, 20.0% of that class."
    )
    assert most_frequent_error([]) == "No test image is misclassified."


def record():
    logits, targets = answers([0, 0, 0, 1, 1], 2), torch.tensor([0, 0, 1, 1, 1])
    counts, classes = metrics.confusion(logits, targets), ["cat", "dog"]
    return metrics.summarize(logits, targets) | {
        "per_class": metrics.per_class(logits, targets, classes),
        "confused_pairs": metrics.confused_pairs(counts, classes),
        "reliability": metrics.reliability(logits, targets),
        "criteria": [Criterion("A", "7", True)],
        "temperature": 1.5, "ece_scaled": 0.01,
    }  # fmt: skip


def test_what_we_found_is_drawn_from_the_record():
    text = what_we_found(record())
    assert text.startswith("- **80.00%** of 5 test images are right")
    assert "Best class cat (100.0%), worst class dog (66.7%). The most" in text
    assert "All 1 criteria are met." in text


def test_single_numbers_go_to_metrics_json_and_rows_to_evaluation_json(runs):
    run = Run.create(Settings(experiment="quick"), "a")
    run.begin("05_evaluation")
    one_row = record()["per_class"][0]
    run.record(**record(), confusion=np.eye(2), ensemble_accuracy=None, undamaged=one_row)
    run.finish()
    rows = {"per_class", "confused_pairs", "reliability", "criteria", "confusion", "undamaged"}
    assert set(run.read_json("evaluation.json")) == rows
    flat = run.read_json("metrics.json")
    assert set(flat) == set(record()) - rows | {"ensemble_accuracy"}
    assert flat["test_accuracy"] == 0.8


@pytest.fixture
def four():
    """Four images of two classes: two right answers, a sure mistake and a less sure one."""
    split = Split(torch.zeros(4, 3, 9, 9, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    logits = torch.tensor([[3.0, 0], [0, 3], [0, 5], [1, 0]])
    return split, logits, ["cat", "a class with a long name"]


def test_predictions_are_shown_with_what_they_are(four):
    drawing = figures.predictions(*four, torch.arange(4))
    titles = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert titles == [
        "cat 95%\ncorrect", "a class wit… 95%\ncorrect",
        "a class wit… 99%\n✗ is cat", "cat 73%\n✗ is a class wit…",
    ]  # fmt: skip
    assert drawing.caption.endswith("; 2 are right.")
    assert drawing.file == "figures/predictions.png"


def test_the_caption_of_the_mistakes_counts_those_that_are_sure(four):
    drawing = figures.mistakes(*four, torch.tensor([2, 3]))
    assert "The 2 mistakes" in drawing.caption
    assert "1 of 2 wrong predictions have a probability above 90%" in drawing.caption
    none = figures.mistakes(*four, torch.tensor([], dtype=torch.int64))
    assert none.figure.axes[0].texts[0].get_text() == "There is no such image."


def test_only_errors_have_a_colour_in_the_confusion_matrix():
    counts = np.array([[90, 10, 0], [5, 95, 0], [0, 0, 100]])
    drawing = figures.confusion_matrix(counts, ["a", "b", "c"])
    (ax,) = drawing.figure.axes
    colours = ax.collections[0]
    drawn = colours.get_array()
    assert (drawn < colours.get_clim()[0]).tolist() == np.eye(3, dtype=bool).tolist()
    assert drawn.max() == colours.get_clim()[1] == 10
    written = sorted(text.get_text() for text in ax.texts if text.get_text())
    assert written == sorted(["90.0", "10.0", "5.0", "95.0", "100.0"])
    assert "300 test images" in drawing.caption
    assert "a taken for b" in drawing.caption


@pytest.mark.parametrize("classes", [2, 30, 45])
def test_the_figures_draw_any_number_of_classes(classes):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(classes, (200,), generator=generator)
    logits = answers((targets + (torch.arange(200) % 3 == 0)) % classes, classes)
    names = [f"a class with a long name {i}" for i in range(classes)]
    bins = metrics.reliability(logits, targets)
    for drawing in (
        figures.confusion_matrix(metrics.confusion(logits, targets), names),
        figures.per_class(metrics.per_class(logits, targets, names)),
        figures.calibration(bins, bins, 1.5, 200),
    ):
        assert drawing.encode()
        assert drawing.file == f"figures/{drawing.name}.svg"


def test_the_accuracy_over_all_classes_counts_images_not_classes():
    logits, targets = answers([0, 0, 0, 1, 0], 2), torch.tensor([0, 0, 0, 0, 1])
    caption = figures.per_class(metrics.per_class(logits, targets, ["cat", "dog"])).caption
    assert caption.endswith("from 0.0% (dog) to 75.0% (cat), 60.0% over all.")


def test_a_model_without_a_mistake_is_drawn_too():
    counts = np.diag([5, 5])
    assert "No test image" in figures.confusion_matrix(counts, ["a", "b"]).caption


def test_the_caption_of_calibration_holds_its_numbers():
    caption = figures.calibration(bins(0.9, 0.8), bins(0.82, 0.8), 1.234, 500).caption
    assert "error is 0.100; the mean confidence is 90.0%, the accuracy 80.0%" in caption
    assert "T = 1.23, fitted on 500 validation images, takes the error to 0.020." in caption
