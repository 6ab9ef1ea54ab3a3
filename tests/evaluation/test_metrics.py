"""What the lab promises of its test figures, against scikit-learn and examples done by hand."""

import json

import numpy as np
import pytest
import sklearn.metrics
import torch
from torch import nn
from toy import CPU, HALF

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Split
from lab_utils.evaluation import metrics
from lab_utils.model.predict import accuracy, predict


def answers(predicted, classes=None):
    """Logits whose largest is the predicted class."""
    predicted = torch.as_tensor(predicted)
    return 5 * nn.functional.one_hot(predicted, classes or -1).float()


@pytest.fixture(scope="module")
def scored():
    """Logits of 1,003 samples in five classes that are often, not always, right; the targets."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(5, (1003,), generator=generator)
    logits = torch.randn(1003, 5, generator=generator) + 1.5 * nn.functional.one_hot(targets, 5)
    return logits, targets


@pytest.fixture(scope="module")
def split():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (103, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return Split(images, torch.randint(5, (103,), generator=generator))


@pytest.mark.parametrize("batch_size", [1, 7, 50, 102, 103, 500])
def test_accuracy_counts_every_sample_once_whatever_the_batch_size(split, batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    batches = Batches(split, batch_size, HALF)
    logits, targets = predict(model, batches, CPU)
    inputs = (split.images.float() / 255 - 0.5) / 0.25
    right = sum(model(x[None]).argmax().item() == y for x, y in zip(inputs, targets, strict=True))
    assert logits.shape == (103, 5)
    assert targets.equal(split.targets)
    assert accuracy(logits, targets) == right / 103


def test_a_small_last_batch_weighs_no_more_than_its_samples():
    logits, targets = answers([0, 0, 0, 1, 1], 2), torch.zeros(5, dtype=torch.int64)
    of_batches = [(x.argmax(1) == 0).double().mean().item() for x in logits.split(3)]
    assert sum(of_batches) / 2 == 0.5
    assert accuracy(logits, targets) == 3 / 5


@pytest.mark.parametrize("training", [True, False])
def test_predicting_runs_in_evaluation_mode_and_puts_the_model_back(split, training):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(192, 5)).train(training)
    batches = Batches(split, 50, HALF)
    first, second = (predict(model, batches, CPU)[0] for _ in range(2))
    assert first.equal(second)
    assert first.dtype == torch.float32
    assert model.training is training


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(correct, total, low, high):
    assert metrics.wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_the_summary_agrees_with_scikit_learn(scored):
    logits, targets = scored
    y, predicted = targets.numpy(), logits.argmax(1).numpy()
    probabilities = logits.double().softmax(1).numpy()
    found = metrics.summarize(logits, targets)
    one_vs_rest = [sklearn.metrics.roc_auc_score(y == k, probabilities[:, k]) for k in range(5)]
    macro = {"average": "macro"}
    assert found["test_images"] == 1003
    assert found["test_correct"] == (y == predicted).sum()
    assert found["test_accuracy"] == sklearn.metrics.accuracy_score(y, predicted)
    assert found["test_accuracy_low"] < found["test_accuracy"] < found["test_accuracy_high"]
    expected = {
        "test_loss": sklearn.metrics.log_loss(y, probabilities),
        "macro_precision": sklearn.metrics.precision_score(y, predicted, **macro),
        "macro_recall": sklearn.metrics.recall_score(y, predicted, **macro),
        "macro_f1": sklearn.metrics.f1_score(y, predicted, **macro),
        "macro_auc": np.mean(one_vs_rest),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-12)


def test_two_classes_are_enough(scored):
    logits, targets = scored[0][:, :2], scored[1] % 2
    found = metrics.summarize(logits, targets)
    score = (logits[:, 1] - logits[:, 0]).numpy()
    assert found["macro_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(targets, score))
    assert metrics.confusion(logits, targets).shape == (2, 2)


def test_a_class_without_samples_has_no_auc_and_spoils_nothing_else(recwarn):
    logits, targets = answers([0, 1, 1, 2], 3), torch.tensor([0, 1, 1, 1])
    found = metrics.summarize(logits, targets)
    assert np.isnan(found.pop("macro_auc"))
    assert all(np.isfinite(value) for value in found.values())
    assert [str(warning.message) for warning in recwarn] == []
    missing = metrics.per_class(logits, targets, ["a", "b", "c"])[2]
    assert (missing.name, missing.support) == ("c", 0)
    assert (missing.precision, missing.recall, missing.f1) == (0, 0, 0)
    assert metrics.confused_pairs(metrics.confusion(logits, targets), "abc") == [
        metrics.Confused("b", "c", 1, pytest.approx(1 / 3))
    ]


def test_the_loss_of_a_hopeless_answer_is_not_cut_off():
    found = metrics.summarize(torch.tensor([[0.0, 1000.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert found["test_loss"] == pytest.approx((1000 + np.log(1 + np.exp(-1))) / 2)


def test_the_figures_of_a_class_are_those_done_by_hand():
    cat, dog = metrics.per_class(
        answers([0, 0, 0, 1, 1, 0, 1, 1, 1, 1]), torch.tensor([0] * 5 + [1] * 5), ["cat", "dog"]
    )
    assert (cat.name, cat.support) == ("cat", 5)
    assert (cat.precision, cat.recall, cat.f1) == (3 / 4, 3 / 5, pytest.approx(2 / 3))
    assert (cat.low, cat.high) == metrics.wilson_interval(3, 5)
    assert (dog.precision, dog.recall) == (pytest.approx(4 / 6), 4 / 5)


def test_the_rows_are_written_with_the_names_that_the_report_reads(tmp_path):
    logits, targets = answers([0, 0, 1], 2), torch.tensor([0, 1, 1])
    rows = metrics.per_class(logits, targets, ["cat", "dog"])
    pairs = metrics.confused_pairs(metrics.confusion(logits, targets), ["cat", "dog"])
    bins = metrics.reliability(logits, targets)
    record = {"per_class": rows, "confused_pairs": pairs, "reliability": bins}
    write_json(tmp_path / "a.json", record)
    stored = json.loads((tmp_path / "a.json").read_text())
    assert {key: set(found[0]) for key, found in stored.items()} == {
        "per_class": {"class", "precision", "recall", "f1", "support", "low", "high"},
        "confused_pairs": {"true", "predicted", "count", "share"},
        "reliability": {"lower", "upper", "count", "confidence", "accuracy"},
    }


def test_a_row_of_the_confusion_matrix_is_a_true_class():
    counts = metrics.confusion(answers([1, 1, 2, 0], 3), torch.tensor([0, 0, 0, 1]))
    assert counts.tolist() == [[0, 2, 1], [1, 0, 0], [0, 0, 0]]


def test_the_most_confused_pairs_come_first_and_only_errors_count():
    counts = np.array([[90, 7, 3], [7, 92, 1], [0, 0, 50]])
    pairs = metrics.confused_pairs(counts, ["a", "b", "c"], top=3)
    assert [(p.true, p.predicted, p.count) for p in pairs] == [
        ("a", "b", 7),
        ("b", "a", 7),
        ("a", "c", 3),
    ]
    assert pairs[0].share == 0.07
    assert len(metrics.confused_pairs(counts, ["a", "b", "c"], top=9)) == 4
    assert metrics.confused_pairs(np.diag([5, 5]), ["a", "b"]) == []


def test_the_calibration_error_is_the_one_done_by_hand():
    logits = torch.tensor([[0.8, 0.2]] * 4 + [[0.6, 0.4]] * 2).log()
    bins = metrics.reliability(logits, torch.tensor([0, 0, 0, 1, 0, 0]))
    assert metrics.calibration_error(bins) == pytest.approx(4 / 6 * 0.05 + 2 / 6 * 0.4)
    assert [(b.count, b.accuracy) for b in bins if b.count] == [(2, 1.0), (4, 0.75)]


def test_every_sample_is_in_the_bin_of_its_confidence(scored):
    logits, targets = scored
    certain = torch.cat([logits, 1e4 * answers([0, 1], 5)])  # a confidence of exactly 1
    bins = metrics.reliability(certain, torch.cat([targets, torch.tensor([0, 1])]))
    assert len(bins) == 15
    assert sum(b.count for b in bins) == 1005
    assert all(b.lower <= b.confidence <= b.upper for b in bins if b.count)
    assert [b.lower for b in bins[1:]] == [b.upper for b in bins[:-1]]


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    logits = torch.tensor([[0.75, 0.25]] * 4).log()
    bins = metrics.reliability(logits, torch.tensor([0, 0, 0, 1]))
    assert metrics.calibration_error(bins) < 1e-7


@pytest.mark.parametrize(
    "wrong", [[0.5, 1.0], ["0", "1"], [True, False], [0, 2], [-1, 0], [[0], [1]]]
)
def test_classes_are_whole_numbers_and_no_others_are_counted(wrong):
    good = np.array([0, 1])
    assert metrics.counted(good.astype(np.uint64), good, 2)["test_correct"] == 2
    for pair in ((wrong, good), (good, wrong)):
        with pytest.raises(ValueError):
            metrics.counted(*pair, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_numbers_have_no_figures(value):
    logits = np.eye(3, dtype=np.float32)
    logits[1, 2] = value
    with pytest.raises(LabError, match="its training diverged; lower lr"):
        metrics.summarize(logits, np.arange(3))
