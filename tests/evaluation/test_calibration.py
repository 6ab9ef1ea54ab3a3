"""A temperature, and whether it changed more than chance does."""

import numpy as np
import pytest
import torch
from torch import nn

from lab_utils.evaluation.calibration import fit_temperature, scale
from lab_utils.evaluation.metrics import calibration_error, reliability, summarize


@pytest.fixture(scope="module")
def overconfident():
    """Logits three times as large as those from which the targets were drawn."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 5, generator=generator)
    targets = logits.softmax(1).multinomial(1, generator=generator).squeeze(1)
    return 3 * logits, targets


def test_the_temperature_undoes_a_stretching_of_the_logits(overconfident):
    logits, targets = overconfident
    found = fit_temperature(logits, targets)
    assert found == pytest.approx(3, rel=0.1)
    before, after = (calibration_error(reliability(x, targets)) for x in (logits, logits / found))
    assert after < before / 3
    assert (logits.double() / found).argmax(1).equal(logits.argmax(1))


@pytest.mark.parametrize("scale", [0.01, 1 / 3, 1.0, 50.0])
def test_a_temperature_never_raises_the_loss_it_was_fitted_on(overconfident, scale):
    logits, targets = scale * overconfident[0].double(), overconfident[1]
    found = fit_temperature(logits, targets)
    loss = nn.functional.cross_entropy
    assert found > 0
    assert loss(logits / found, targets) <= loss(logits, targets)


def test_images_without_a_mistake_give_a_finite_temperature():
    logits = 5 * torch.eye(3)
    assert 0.05 <= fit_temperature(logits, torch.arange(3)) <= 1


def test_the_temperature_stays_between_a_twentieth_and_twenty(overconfident):
    logits, targets = overconfident
    for factor, end in ((1000, 20), (1e-3, 0.05)):
        assert fit_temperature(factor * logits, targets) == pytest.approx(end, rel=1e-3)


def test_scaling_tells_the_figures_of_the_summary_before_and_after(overconfident):
    logits, targets = overconfident
    found = scale(logits, targets, 3.0)
    before, after = (summarize(x, targets) for x in (logits, logits.double() / 3.0))
    assert (found.ece_before, found.ece_after) == (before["ece"], after["ece"])
    assert (found.loss_before, found.loss_after) == (before["test_loss"], after["test_loss"])
    assert found.before == reliability(logits, targets)


def test_the_change_is_beyond_chance_for_an_overconfident_model_alone(overconfident):
    logits, targets = overconfident
    found = scale(logits, targets, fit_temperature(logits, targets))
    assert found.beyond_chance
    assert found.change_low < found.loss_after - found.loss_before < found.change_high < 0
    unchanged = scale(logits, targets, 1.0)
    assert (unchanged.change_low, unchanged.change_high) == (0, 0)
    assert not unchanged.beyond_chance


def test_a_temperature_fitted_on_other_images_of_a_calibrated_model_is_chance_mostly():
    """Its 95% interval leaves out zero in about one of twenty samples, not in half of them."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(60):
        logits = 2 * torch.randn(600, 4, generator=generator)
        targets = logits.softmax(1).multinomial(1, generator=generator).squeeze(1)
        fitted = fit_temperature(logits[:300], targets[:300])
        found.append(scale(logits[300:], targets[300:], fitted))
    worse = np.mean([s.loss_after - s.loss_before for s in found])
    assert 0 < worse < 0.01  # what the fit took from chance, it pays back elsewhere
    assert np.mean([s.beyond_chance for s in found]) < 0.35
