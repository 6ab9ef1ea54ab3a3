"""What notebook 05 says and draws of its results."""

from matplotlib.text import Text
import numpy as np
import pytest
import torch
from torch import nn

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Split
from lab_utils.evaluation import figures, findings, metrics
from lab_utils.evaluation.calibration import Scaled, scale
from lab_utils.evaluation.criteria import Criterion
from lab_utils.evaluation.findings import most_frequent_error, sureness, verdict, what_we_found
from lab_utils.evaluation.metrics import Bin


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
        "temperature": 1.5, "ece_scaled": 0.01, "test_loss_change_low": -0.1,
        "test_loss_change_high": 0.1, "overconfident_ece": 0.3, "overconfident_ece_scaled": 0.02,
        "overconfident_temperature": 2.5,
    }  # fmt: skip


def test_what_we_found_is_drawn_from_the_record():
    text = what_we_found(record())
    assert text.startswith("- **80.00%** of 5 test images are right")
    assert "Best class cat (100.0%), worst class dog (66.7%). The most" in text
    assert "changes the cross-entropy by no more than chance)" in text
    assert "overconfident: ECE 0.300, and\n  0.020 with temperature 2.50" in text
    assert "All 1 criteria are met." in text
    clear = what_we_found(record() | {"test_loss_change_high": -0.05})
    assert "by more than chance)" in clear
    nothing = what_we_found(record() | {"test_loss_change_low": 0.0, "test_loss_change_high": 0.0})
    assert "by no more than chance)" in nothing


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
    assert figures.predictions(*four, torch.arange(3)).caption.endswith("; 2 are right.")
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
    names = [f"a $class$ with a long name {i}" for i in range(classes)]
    split = Split(torch.zeros(200, 3, 9, 9, dtype=torch.uint8), targets)
    model = scale(logits, targets, 1.5)
    for drawing in (
        figures.confusion_matrix(metrics.confusion(logits, targets), names),
        figures.per_class(metrics.per_class(logits, targets, names)),
        figures.calibration({"a": model, "b $1$": model}),
        figures.one_cell(split, logits, names, names[0], names[1]),
    ):
        assert drawing.encode()
        kind = "png" if drawing.name == "one_cell" else "svg"
        assert drawing.file == f"figures/{drawing.name}.{kind}"
        names_in_it = [t for t in drawing.figure.findobj(Text) if "$" in t.get_text()]
        assert not any(text.get_parse_math() for text in names_in_it)  # a dollar is a dollar


def test_of_very_many_classes_the_least_accurate_are_drawn():
    targets = torch.arange(200)
    logits = answers(torch.where(targets == 150, 0, targets), 200)
    names = [f"class {i}" for i in range(200)]
    drawing = figures.per_class(metrics.per_class(logits, targets, names))
    assert "from 0.0% (class 150) to 100.0%" in drawing.caption
    assert drawing.caption.endswith("99.5% over all; the 40 lowest of 200 classes.")
    labels = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert len(labels) == 40 and labels[-1] == "class 150"


def test_the_accuracy_over_all_classes_counts_images_not_classes():
    logits, targets = answers([0, 0, 0, 1, 0], 2), torch.tensor([0, 0, 0, 0, 1])
    caption = figures.per_class(metrics.per_class(logits, targets, ["cat", "dog"])).caption
    assert caption.endswith("from 0.0% (dog) to 75.0% (cat), 60.0% over all.")


def test_a_model_without_a_mistake_is_drawn_too():
    counts = np.diag([5, 5])
    assert "No test image" in figures.confusion_matrix(counts, ["a", "b"]).caption


def test_a_class_without_images_is_a_row_without_errors():
    (ax,) = figures.confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "b"]).figure.axes
    assert ax.collections[0].get_array().ravel().tolist() == [-1, 25, 0, -1]


@pytest.mark.parametrize(("classes", "written"), [(12, True), (13, False)])
def test_where_no_numbers_fit_into_the_confusion_matrix_its_colours_have_a_scale(classes, written):
    counts = 3 * np.eye(classes, dtype=int) + 1
    ax, *scale = figures.confusion_matrix(counts, [str(i) for i in range(classes)]).figure.axes
    assert (bool(ax.texts), bool(scale)) == (written, not written)


def scaled(low, high, temperature=1.25):
    """A model whose confidence of 90% becomes 82%, where 80% are right."""
    return Scaled(temperature, bins(0.9, 0.8), bins(0.82, 0.8), 0.6780, 0.6778, low, high)


def test_the_caption_of_calibration_holds_its_numbers():
    drawing = figures.calibration({"this run": scaled(-1, 1), "by heart": scaled(-1, 1, 2.5)})
    assert "This run: the mean confidence is 90.0%, the accuracy 80.0%" in drawing.caption
    assert "T = 1.25 takes the calibration error from 0.100 to 0.020. By heart" in drawing.caption
    titles = [axes.get_title() for axes in drawing.figure.axes]
    assert titles[:2] == ["this run, T = 1.25", "by heart, T = 2.50"]
    (legend,) = drawing.figure.legends
    assert [text.get_text() for text in legend.texts] == ["perfect", "as trained", "after scaling"]


def test_a_change_within_chance_is_called_so():
    text = findings.scaling({"this run": scaled(-0.0005, 0.0001)})
    assert "from 0.6780 to 0.6778. That is -0.0002, with a 95% interval of -0.0005 to" in text
    assert "no change beyond chance" in text
    for ends in ((-0.0003, -0.0001), (0.0001, 0.0003)):
        assert "more than chance" in findings.scaling({"this run": scaled(*ends)})


def test_counts_are_told_with_what_they_leave_open():
    assert findings.counted(torch.tensor([True] * 102 + [False] * 26)) == (
        "102 of 128 are right, 79.69%. The 95% interval of the accuracy goes from 71.90% to 85.74%."
    )


def test_validation_and_test_accuracy_are_compared_with_both_errors():
    # 1.96 * sqrt(0.7812 * 0.2188 / 10,000 + 0.7803 * 0.2197 / 5,000) = 0.0140
    summary = {"test_accuracy": 0.7812, "test_images": 10_000}
    text = findings.against_validation(summary, 0.7803, 5000)
    assert text.endswith("lie 0.1 points apart; chance alone explains up to 1.4.")
    assert "there is more to it" in findings.against_validation(summary, 0.80, 5000)
    few = {"test_accuracy": 0.5, "test_images": 100}  # 196 * sqrt(2 * 0.25 / 100) = 13.86
    assert findings.against_validation(few, 0.5, 100).endswith("explains up to 13.9.")
    assert findings.against_validation(few, 0.63, 100).endswith("13.0 points apart; chance alone "
                                                               "explains up to 13.6.")  # fmt: skip
    assert "there is more to it" in findings.against_validation(few, 0.64, 100)


def test_the_surprise_of_guessing_is_the_logarithm_of_the_classes():
    text = findings.surprise(np.log(4), 4)
    assert "1.386 nats; equal probabilities for all 4 classes would give 1.386" in text
    assert "gets 25.0%" in text


def test_confusions_are_told_both_ways():
    counts = np.array([[8, 2], [1, 9]])
    assert findings.confusions(counts, ["cat", "dog"]) == (
        "The 2 most frequent of 2 confusions make up 100% of all 3 errors. cat is taken for dog 2 "
        "times, the other way round 1 times."
    )
    many = findings.confusions(np.array([[3, 5, 0], [4, 2, 1], [0, 0, 1]]), ["a", "b", "c"])
    assert many.startswith("The 3 most frequent of 6 confusions make up 100% of all 10 errors. a")
    assert findings.confusions(np.diag([5, 5]), ["a", "b"]) == "No test image is misclassified."


def test_the_class_that_is_named_too_often_is_told():
    logits, targets = answers([0, 0, 0, 0, 1, 1], 2), torch.tensor([0, 0, 1, 1, 1, 1])
    rows = metrics.per_class(logits, targets, ["cat", "dog"])
    text = findings.spread(rows, metrics.confusion(logits, targets))
    assert "from 50.0% (dog) to 100.0% (cat)" in text
    assert "Named cat most above its share, 4 times for 2 images; dog most below" in text


def test_a_missing_class_leaves_no_ranking_to_tell():
    assert "in 97.0% of the pairs" in findings.ranking({"macro_auc": 0.97, "test_images": 9})
    assert "has no test image" in findings.ranking({"macro_auc": np.nan, "test_images": 9})


CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.mark.parametrize(
    ("answer", "judged"),
    [
        ("frog", "an error, and is none"),
        ("cat", "right, and is wrong"),
        ("dog", "error, and is one"),
    ],
)
def test_the_frog_that_is_labelled_cat_is_called_a_frog(answer, judged):
    logits, targets = torch.zeros(10_000, 10), torch.full((10_000,), CIFAR.index("cat"))
    logits[2405, CIFAR.index(answer)] = 20
    shown = torch.tensor([7, 9000, 2405])
    text = findings.sure_mistakes("cifar10", logits, targets, CIFAR, shown)
    assert f"shows a frog and is labelled cat. The model says {answer}, with 100%" in text
    assert judged in text
    assert "number 3 of those above" in text
    elsewhere = findings.sure_mistakes("shapes", logits, targets, CIFAR, torch.tensor([7]))
    assert "frog" not in elsewhere
    some = findings.sure_mistakes("cifar10", logits[:500], targets[:500], CIFAR, torch.tensor([7]))
    assert "frog" not in some  # a part of the test images has other numbers


def test_a_cell_of_the_matrix_opens_its_images_surest_first(four):
    split, logits, classes = four
    cell = figures.one_cell(split, logits, classes, "cat", classes[1])
    titles = [text.get_text() for text in cell.figure.axes[0].texts]
    assert titles == ["a class wit… 99%\n✗ is cat"]
    assert cell.caption.startswith("Of 2 test images of the class cat, 1 were taken for a class")
    right = figures.one_cell(split, logits, classes, "cat", "cat")
    assert "1 were recognised" in right.caption
    many = Split(torch.zeros(40, 3, 9, 9, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64))
    sure = torch.stack([torch.zeros(40), torch.arange(40) / 10 + 0.1], 1)
    titles = [
        text.get_text()
        for text in figures.one_cell(many, sure, ["a", "b"], "a", "b").figure.axes[0].texts
    ]
    assert len(titles) == 16
    assert titles[0].startswith("b 98%")
