"""What the networks cost beside each other: rows for all, measured on the run's own images."""

from itertools import count

import pytest
import torch

from lab_utils.core.settings import MODELS, Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model import costs
from lab_utils.model.networks import build
from lab_utils.model.summary import count_parameters, summarize
from lab_utils.setup import hardware
from lab_utils.setup.hardware import choose

SETTINGS = Settings(experiment="smoke", device="cpu", precision="float32")
MACHINE = choose(SETTINGS)


def dataset(images=20, classes=3, side=16):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 3, side, side), generator=generator, dtype=torch.uint8)
    split = Split(pixels, torch.arange(images) % classes)
    return Dataset("made up", "", "", "", tuple("abc"[:classes]), split, split, "")


@pytest.fixture
def quick(monkeypatch):
    """A network as small as two others in place of all; no time is spent."""
    monkeypatch.setattr(costs, "MODELS", ("simplecnn", "speednet"))


def test_each_network_is_a_row_with_what_it_costs_on_images_of_that_size(quick):
    seen = []

    def step(model, inputs, targets, optimizer):
        seen.append((model.training, inputs.shape, len(targets), optimizer))
        return model(inputs).sum().item()

    settings = SETTINGS.model_copy(update={"model": "speednet", "widths": [8, 16, 24]})
    first, second = costs.compare(settings, dataset(), MACHINE, step)
    facts = summarize(build("simplecnn", 3, 16), 16)
    assert (first.name, first.parameters, first.flops) == (
        "simplecnn",
        facts.parameters,
        facts.flops,
    )
    assert (first.weight_bytes, first.receptive_field) == (facts.weight_bytes, 22)
    own = build("speednet", 3, 16, widths=[8, 16, 24])
    assert second.parameters == count_parameters(own)  # as the settings have it
    assert all(row.step_ms > 0 and row.inference_ms > 0 for row in (first, second))
    assert first.inference_ms_1 is None
    assert {shape for _, shape, _, _ in seen} == {(32, 3, 16, 16)}  # although there are 20 images
    assert all(training for training, *_ in seen)
    assert {type(optimizer) for *_, optimizer in seen} == {torch.optim.Adam}


def test_the_fastest_of_at_least_three_calls_counts(monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 13.0, 20.0, 24.0])
    monkeypatch.setattr(hardware.time, "perf_counter", lambda: next(clock))
    calls = count()
    assert costs.fastest_ms(lambda: next(calls), MACHINE, budget=0.0) == 3000
    assert next(calls) == 3


def test_the_twins_take_turns_on_one_image_and_on_128(monkeypatch):
    timed = []

    def inference_ms(model, inputs, machine):
        timed.append((len(inputs), count_parameters(model)))
        return float(len(timed))

    monkeypatch.setattr(costs, "inference_ms", inference_ms)
    rows = [costs.Costs(name, 1, 1, 1, 1, 5.0, 6.0) for name in reversed(MODELS)]
    lean, plain = costs.compare_twins(rows, dataset(), MACHINE)
    small, large = (count_parameters(build(row.name, 3, 16)) for row in (lean, plain))
    assert small < large
    alternating = [small, large] * 3
    assert timed == [(1, n) for n in alternating] + [(128, n) for n in alternating]
    assert (lean.name, lean.inference_ms_1, lean.inference_ms_128) == ("compactnet", 1.0, 7.0)
    assert (plain.inference_ms_1, plain.inference_ms_128, plain.step_ms) == (2.0, 8.0, 5.0)
