"""The memory of a training step, told before it is tried."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toy import CPU, same, toy_dataset

from lab_utils.core.settings import Settings
from lab_utils.model.build import new_model
from lab_utils.setup import memory
from lab_utils.setup.hardware import Machine
from lab_utils.setup.memory import step_memory_mb


@pytest.fixture
def settings():
    return Settings(experiment="toy", batch_size=32)


@pytest.mark.parametrize("batch_size", [4, 64])
def test_the_memory_of_a_step_is_what_one_counts_by_hand(settings, batch_size):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 10)
    )
    settings = settings.model_copy(update={"batch_size": batch_size})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = step_memory_mb(network, settings, CPU, 16)
    # For backward: the image, the ReLU's output (the linear layer's input too); four copies of
    # the weights.
    by_hand = batch_size * (3 + 8) * 16 * 16 * 4 + 4 * 4 * (224 + 20_490)
    assert found * 1e6 == pytest.approx(by_hand)
    assert same(before, network.state_dict())


def test_the_memory_estimate_leaves_running_statistics_and_grows_with_the_batch(settings):
    network = new_model(settings, toy_dataset())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    bfloat16 = Machine(torch.device("cpu"), "a test", torch.bfloat16, "a test")
    for machine in (CPU, bfloat16):
        small, large = (
            step_memory_mb(network, settings.model_copy(update={"batch_size": n}), machine, 16)
            for n in (100, 200)
        )
        assert small < large < 2 * small
    assert same(before, network.state_dict())


@pytest.mark.parametrize(("free", "loud"), [(1e12, ""), (3e6, "batch_size = ")])
def test_a_step_that_may_not_fit_is_told_with_a_batch_that_does(settings, monkeypatch, free, loud):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    network = new_model(settings, toy_dataset())
    needed = step_memory_mb(network, settings, CPU, 16)
    notice = memory.memory_notice(needed, settings, CPU)
    assert loud in notice.loud and bool(loud) == bool(notice.loud)
    assert f"{free / 1e6:,.0f} MB are free on cpu" in notice.text
