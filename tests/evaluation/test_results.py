"""What notebook 05 records and tabulates, by the names that others read."""

import numpy as np
import pytest
import torch
from toy import HALF, small_net, toy, toy_dataset

from lab_utils.core.files import write_json
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.evaluation import results
from lab_utils.evaluation.calibration import scale
from lab_utils.evaluation.judge import Judge
from lab_utils.evaluation.metrics import summarize
from lab_utils.training.history import Epoch


@pytest.fixture(scope="module")
def answers():
    """Logits and targets of 300 images of three classes, often right."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (300,), generator=generator)
    return torch.randn(300, 3, generator=generator) + torch.eye(3)[targets], targets


def test_everything_that_is_measured_has_its_name(answers):
    found = results.measured(*answers, "abc")
    rows = {"per_class", "confusion", "confused_pairs", "reliability"}
    assert set(found) == rows | set(summarize(*answers))
    assert found["confusion"].trace() == found["test_correct"]


def test_the_overconfident_model_has_names_of_its_own(answers):
    ours, other = scale(*answers, 1.0), scale(4 * answers[0], answers[1], 4.0)
    found = results.temperatures(ours, other)
    assert found["temperature"] == 1.0
    assert found["test_loss_scaled"] == summarize(*answers)["test_loss"]
    assert found["overconfident_temperature"] == 4.0
    summary = summarize(4 * answers[0], answers[1])
    assert found["overconfident_accuracy"] == pytest.approx(summary["test_accuracy"])
    mean = (4 * answers[0]).double().softmax(1).amax(1).mean().item()
    assert found["overconfident_confidence"] == pytest.approx(mean)
    assert found["overconfident_loss"] > found["overconfident_loss_scaled"]


def test_an_ensemble_is_recorded_where_there_is_one(answers):
    logits, targets = answers
    alone = results.ensemble({0: logits}, targets)
    assert alone == {"ensemble_seeds": 1, "ensemble_accuracy": None}
    found = results.ensemble({0: logits, 1: logits.flip(1)}, targets)
    assert found["ensemble_seeds"] == 2
    assert found["ensemble_accuracy"] == found["ensemble"]["test_accuracy"]
    rows = results.together({0: logits, 1: logits.flip(1)}, targets)
    assert [row["model"] for row in rows] == ["seed 0", "seed 1", "all 2 together"]
    assert rows[-1]["accuracy"] == found["ensemble_accuracy"]
    assert len(results.together({0: logits}, targets)) == 1


def test_errors_are_listed_both_ways_and_the_first_is_opened():
    counts = np.array([[6, 3, 1], [2, 8, 0], [0, 0, 5]])
    rows = results.both_ways(counts, "abc")
    assert [(row["true"], row["count"], row["the other way"]) for row in rows] == [
        ("a", 3, 2), ("b", 2, 3), ("a", 1, 0),
    ]  # fmt: skip
    assert results.cells(counts, "abc") == {
        "true": (list("abc"), "a"),
        "predicted": (list("abc"), "b"),
    }
    assert results.cells(np.eye(3), "abc")["true"][1] == "a"  # no error to open


def test_the_intervals_of_two_samples_of_one_share_differ_in_width():
    small, large = results.intervals([(51, 64), (510, 640)])
    assert small["accuracy"] == large["accuracy"] == 51 / 64
    assert small["low"] < large["low"] < large["high"] < small["high"]


def test_criteria_are_shown_in_words():
    found = results.criteria([Epoch(1, 1.5, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0)], 0.78, 0.76)
    assert found["train_val_gap"] == pytest.approx(0.02)
    words = [row["passed"] for row in results.judged(found["criteria"])]
    assert words == ["pass", "FAIL", "not measured", "pass"]


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_the_facts_hold_what_one_view_scores(runs, tta):
    run = Run.create(Settings(experiment="quick", tta=tta), "a")
    kept = {
        "best_epoch": 2, "epochs": 3, "train_seconds": 4.0, "images_per_second": 5.0,
        "precision": "float32", "device": "cpu",
    }  # fmt: skip
    more = {"best_val_accuracy": 0.7, "hyperparameters": [], "verdict": "balanced"}
    write_json(run.file("training.json"), kept | more)
    test = toy(30, 1)
    judge = Judge(run, ModelOf16(), HALF)
    run.recorded["test_accuracy"] = 0.25
    found = results.facts(run, toy_dataset(), judge, test, Epoch(2, 1, 0.5, 0.9, 0.7, 0.1, 1, 1))
    view = judge.one_view(test).argmax(1).eq(test.targets).double().mean().item()
    assert found["test_accuracy_one_view"] == (0.25 if tta == "none" else view)
    assert (found["val_accuracy"], found["val_loss"], found["val_images"]) == (0.7, 0.9, 30)
    assert (found["data"], found["data_is_cifar10"], found["tta"]) == ("toy", False, tta)
    assert {key: found[key] for key in kept} == kept
    assert more.keys().isdisjoint(found)


class ModelOf16(torch.nn.Module):
    """Logits (B, 3) of images (B, 3, 16, 16)."""

    def __init__(self):
        super().__init__()
        self.halve, self.net = torch.nn.AvgPool2d(2), small_net()

    def forward(self, images):
        return self.net(self.halve(images))
