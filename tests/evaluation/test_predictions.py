"""Probabilities that can be believed, and what is kept of the predictions."""

import numpy as np
import pytest
import torch
from torch import nn

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.evaluation import predictions
from lab_utils.evaluation.metrics import calibration_error, reliability
from lab_utils.evaluation.predictions import Predictions, load_predictions, save_predictions


@pytest.fixture(scope="module")
def overconfident():
    """Logits three times as large as those from which the targets were drawn."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 5, generator=generator)
    targets = logits.softmax(1).multinomial(1, generator=generator).squeeze(1)
    return 3 * logits, targets


def test_the_temperature_undoes_a_stretching_of_the_logits(overconfident):
    logits, targets = overconfident
    found = predictions.fit_temperature(logits, targets)
    assert found == pytest.approx(3, rel=0.1)
    before, after = (calibration_error(reliability(x, targets)) for x in (logits, logits / found))
    assert after < before / 3
    assert (logits.double() / found).argmax(1).equal(logits.argmax(1))


@pytest.mark.parametrize("scale", [0.01, 1 / 3, 1.0, 50.0])
def test_a_temperature_never_raises_the_loss_it_was_fitted_on(overconfident, scale):
    logits, targets = scale * overconfident[0].double(), overconfident[1]
    found = predictions.fit_temperature(logits, targets)
    loss = nn.functional.cross_entropy
    assert found > 0
    assert loss(logits / found, targets) <= loss(logits, targets)


def test_images_without_a_mistake_give_a_finite_temperature():
    logits = 5 * torch.eye(3)
    assert 0.05 <= predictions.fit_temperature(logits, torch.arange(3)) <= 1


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
