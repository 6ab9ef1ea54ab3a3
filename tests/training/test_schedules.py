"""Learning rates as they are published."""

import math

import pytest
from torch import nn

from lab_utils.training.optim import make_optimizer, make_schedule, schedule_values


def test_step_and_one_cycle_and_cosine_give_the_published_learning_rates(settings):
    def rates(**changes):
        return schedule_values(settings.model_copy(update={"lr": 0.1, **changes}), 10)

    step = rates(schedule="step", epochs=5, step_size=2, gamma=0.1)
    assert step == pytest.approx([0.1] * 20 + [0.01] * 20 + [0.001] * 10)
    assert rates(schedule="constant", epochs=2) == [0.1] * 20

    one_cycle = rates(schedule="one_cycle", epochs=10, warmup_fraction=0.3)
    assert one_cycle[0] == pytest.approx(0.1 / 25)
    assert one_cycle.index(max(one_cycle)) == 29
    assert max(one_cycle) == pytest.approx(0.1)
    assert one_cycle[-1] < 1e-5 * 0.1

    cosine = rates(schedule="cosine", epochs=10)
    floor = rates(schedule="cosine", epochs=10, min_lr=0.02)
    assert floor == pytest.approx([0.02 + 0.8 * value for value in cosine])
    half_wave = [0.05 * (1 + math.cos(math.pi * step / 100)) for step in range(100)]
    assert cosine == pytest.approx(half_wave)


def test_one_cycle_leaves_the_momentum_of_the_settings(settings):
    settings = settings.model_copy(update={"optimizer": "sgd", "momentum": 0.8})
    optimizer = make_optimizer(settings, nn.Linear(2, 2))
    make_schedule(settings, optimizer, 10)
    assert optimizer.param_groups[0]["momentum"] == 0.8
