"""What is kept of the predictions, and the mean of several networks'."""

import numpy as np
import pytest
import torch

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.evaluation import predictions
from lab_utils.evaluation.predictions import Predictions, load_predictions, save_predictions


def test_an_ensemble_is_the_mean_of_the_probabilities():
    members = [torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.2, 0.8]]).log() + 7]
    together = np.exp(predictions.mean_probabilities(members))
    assert together.tolist() == [pytest.approx([0.55, 0.45])]


def finished(runs, name, logits, targets, fingerprint="00ff", **settings):
    """A run folder as notebook 05 leaves it, as far as an ensemble looks."""
    run = Run.create(Settings(experiment="quick", epochs=1, lr=1e-3, **settings), name)
    entry = {"status": "done", "data": {"name": "shapes", "fingerprint": fingerprint}}
    write_json(run.file("manifest.json"), {"05_evaluation": entry})
    save_predictions(run.file("predictions.npz"), Predictions(logits, targets, ("a", "b")))
    return run


def test_an_ensemble_takes_other_seeds_on_the_same_test_images_alone(runs):
    targets = torch.tensor([0, 1, 1])
    logits = torch.randn(3, 2, generator=torch.manual_seed(0))
    run = finished(runs, "a", logits, targets)
    finished(runs, "again", logits, targets)
    finished(runs, "b", logits + 1, targets, seed=1)
    finished(runs, "wider", logits, targets, seed=2, batch_size=64)
    finished(runs, "other-data", logits, targets, fingerprint="11", seed=3)
    finished(runs, "other-images", logits, targets.flip(0), seed=4)
    broken = finished(runs, "broken", logits, targets, seed=5)
    broken.file("predictions.npz").write_bytes(b"no archive")
    changed = finished(runs, "changed", logits, targets, seed=6)
    entry = changed.manifest["05_evaluation"] | {"sha256": {"predictions.npz": "of others"}}
    write_json(changed.file("manifest.json"), {"05_evaluation": entry})
    (runs / "notes.txt").write_text("not a run")
    found = predictions.sibling_logits(run, targets)
    assert list(found) == [1]
    assert np.array_equal(found[1], logits + 1)


def test_the_predictions_come_back_as_they_were_saved(tmp_path):
    path = tmp_path / "predictions.npz"
    logits, targets = torch.randn(3, 2), torch.tensor([0, 1, 1])
    save_predictions(path, Predictions(logits, targets, ("cat", "dog")))
    found = load_predictions(path)
    assert torch.from_numpy(found.logits).equal(logits)
    assert torch.from_numpy(found.targets).equal(targets)
    assert found.classes == ("cat", "dog")
    with np.load(path) as saved:
        assert sorted(saved) == ["classes", "logits", "targets"]
        assert saved["logits"].dtype == np.float32


def test_damaged_predictions_are_refused(tmp_path):
    path = tmp_path / "predictions.npz"
    for content in (b"no archive", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(LabError, match="run 05_evaluation again"):
            load_predictions(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": np.array([0, -1])}, {"targets": np.array([0, 2])}, {"classes": ("a",)},
        {"logits": np.array([[0, 1], [np.nan, 0]])}, {"targets": np.array([0])},
        {"targets": np.array([0.5, 1])}, {"targets": np.array(["0", "1"])},
        {"targets": np.array([[0], [1]])}, {"logits": np.eye(2) + 0j}, {"logits": np.eye(2) > 0},
        {"logits": np.eye(2)[:0], "targets": np.array([], int)},
    ],
    ids=["below", "no such class", "a class short", "not finite", "a target short",
         "between classes", "text", "a column", "complex", "no numbers", "no images"],
)  # fmt: skip
def test_predictions_that_cannot_be_are_refused(tmp_path, wrong):
    good = Predictions(np.eye(2), np.array([0, 1]), ("a", "b"))
    save_predictions(tmp_path / "predictions.npz", good)
    assert load_predictions(tmp_path / "predictions.npz").classes == ("a", "b")
    save_predictions(tmp_path / "predictions.npz", good._replace(**wrong))
    with pytest.raises(LabError, match="run 05_evaluation again"):
        load_predictions(tmp_path / "predictions.npz")
