"""Which parameters go to which optimiser, what Muon does to them, and that states come back."""

import copy
from functools import partial
import math

import pytest
import torch
from torch import nn

from lab_utils.core.settings import Settings
from lab_utils.model.networks.simplecnn import SimpleCNN
from lab_utils.training.history import Epoch
from lab_utils.training.muon import FilterMuon, Together
from lab_utils.training.optim import make_optimizer, make_plateau, make_schedule, schedule_values


def settings(**values):
    return Settings(experiment="test", **values)


def step(model, optimizer, seed=0):
    torch.manual_seed(seed)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    optimizer.step()


def test_muon_takes_every_filter_but_the_first_layers():
    model = SimpleCNN()
    optimizer = make_optimizer(settings(muon_lr=0.1, bias_lr=0.5), model)
    rest, muon = optimizer.optimizers
    assert [tuple(f.shape) for f in muon.filters] == [(64, 32, 3, 3), (128, 64, 3, 3)]
    groups = [[p.ndim for p in group["params"]] for group in rest.param_groups]
    assert set(groups[0]) == {2, 4}  # linear weights and the first convolution
    assert set(groups[1]) == {1}
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 0.5, 0.1]
    count = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert count == 620_810


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weight_decay_takes_the_same_share_of_biases_whatever_their_rate(optimizer):
    model = nn.Linear(4, 3)
    nn.init.ones_(model.weight), nn.init.ones_(model.bias)
    chosen = settings(optimizer=optimizer, lr=0.5, bias_lr=0.02, weight_decay=0.1, momentum=0.0)
    optimizer = make_optimizer(chosen, model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight, torch.full((3, 4), 0.95))
    torch.testing.assert_close(model.bias, torch.full((3,), 0.95))


@pytest.mark.parametrize(
    ("recipe", "theirs"),
    [
        (
            {"optimizer": "sgd", "momentum": 0.8},
            partial(torch.optim.SGD, momentum=0.8, nesterov=True),
        ),
        ({"optimizer": "sgd", "momentum": 0.0}, torch.optim.SGD),
        ({"momentum": 0.7, "beta2": 0.8}, partial(torch.optim.Adam, betas=(0.7, 0.8))),
        (
            {"optimizer": "adamw", "momentum": 0.7, "beta2": 0.8},
            partial(torch.optim.AdamW, betas=(0.7, 0.8)),
        ),
    ],
    ids=["sgd", "sgd-plain", "adam", "adamw"],
)
def test_the_settings_are_those_of_pytorchs_optimiser(recipe, theirs):
    models = [nn.Linear(4, 3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    ours = make_optimizer(settings(lr=0.05, weight_decay=0.1, **recipe), models[0])
    optimizers = ours, theirs(models[1].parameters(), lr=0.05, weight_decay=0.1)
    inputs = torch.randn(4, 8, 4)
    for batch in inputs:
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(models[0].weight, models[1].weight)
    torch.testing.assert_close(models[0].bias, models[1].bias)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_muon_update_is_torchs_on_the_rescaled_matrix_of_each_filter(layout):
    torch.manual_seed(0)
    start, gradients = torch.randn(16, 8, 3, 3), torch.randn(3, 16, 8, 3, 3)
    filters = nn.Parameter(start.clone().to(memory_format=layout))
    ours = FilterMuon([filters], lr=0.1)

    def matrix(x):  # the columns in the order of the filter's memory
        return (x.movedim(1, -1) if layout is torch.channels_last else x).flatten(1)

    oracle = nn.Parameter(matrix(start))
    theirs = torch.optim.Muon([oracle], lr=0.1, momentum=0.6, weight_decay=0, ns_steps=3)
    for gradient in gradients:
        filters.grad = gradient.clone().to(memory_format=layout)
        ours.step()
        oracle.data *= 4 / oracle.data.norm()
        oracle.grad = matrix(gradient)
        theirs.step()
        torch.testing.assert_close(matrix(filters.detach()), oracle.detach())


def test_muons_update_is_close_to_orthogonal():
    torch.manual_seed(0)
    filters = nn.Parameter(torch.randn(16, 8, 3, 3))
    before = (filters.detach() * 4 / filters.detach().norm()).clone()
    filters.grad = torch.randn_like(filters)
    FilterMuon([filters], lr=1.0, ns_steps=5).step()
    singular = torch.linalg.svdvals((filters.detach() - before).flatten(1))
    assert singular.max() / singular.min() < 2.5
    assert torch.linalg.svdvals(filters.grad.flatten(1)).max() / singular.max() > 2


@pytest.mark.parametrize("set_to_none", [True, False])
def test_cleared_gradients_are_none_or_zero_as_pytorchs_optimisers_leave_them(set_to_none):
    model = SimpleCNN()
    optimizer = make_optimizer(settings(muon_lr=0.1), model)
    step(model, optimizer)
    optimizer.zero_grad(set_to_none)
    for parameter in model.parameters():
        assert parameter.grad is None if set_to_none else not parameter.grad.any()


def test_muon_refuses_what_is_no_filter():
    with pytest.raises(ValueError, match="shape"):
        FilterMuon([nn.Parameter(torch.zeros(3, 3))], lr=0.1)
    with pytest.raises(ValueError, match="contiguous or channels last"):
        FilterMuon(
            [nn.Parameter(torch.zeros(2, 3, 4, 5).permute(0, 3, 1, 2).transpose(0, 2))], lr=0.1
        )


def test_muon_calls_a_closure_for_the_gradient_and_gives_its_loss():
    filters = nn.Parameter(torch.ones(4, 4, 3, 3))
    optimizer, before = FilterMuon([filters], lr=0.1), filters.detach().clone()

    def closure():
        loss = filters.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 144
    assert not torch.equal(filters, before)


def test_optimisers_together_go_on_from_their_state():
    models = [SimpleCNN().eval() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    recipe = settings(muon_lr=0.1, schedule="linear", warmup_fraction=0, epochs=4)
    optimizers = [make_optimizer(recipe, model) for model in models]
    schedules = [make_schedule(recipe, optimizer, 1) for optimizer in optimizers]
    assert isinstance(optimizers[0], Together)
    for _ in range(2):
        step(models[0], optimizers[0])
        schedules[0].step()
    models[1].load_state_dict(models[0].state_dict())
    # A state dict holds the optimiser's own tensors; a file would hold copies.
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    schedules[1].load_state_dict(schedules[0].state_dict())
    for model, optimizer, schedule in zip(models, optimizers, schedules, strict=True):
        step(model, optimizer)
        schedule.step()
        assert optimizer.param_groups[-1]["lr"] == pytest.approx(0.1 / 4)
    pairs = zip(models[0].parameters(), models[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_linear_schedule_warms_up_and_falls_to_zero():
    recipe = settings(schedule="linear", warmup_fraction=0.2, lr=1.0, epochs=2)
    values = schedule_values(recipe, 5)
    expected = [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert values == pytest.approx(expected)
    long = schedule_values(settings(schedule="linear", warmup_fraction=0, lr=1.0, epochs=1), 400)
    assert long == pytest.approx([(400 - step) / 400 for step in range(400)])


def test_one_cycle_keeps_the_ratio_of_the_groups_rates():
    model = SimpleCNN()
    recipe = settings(schedule="one_cycle", bias_lr=0.01, lr=0.001, epochs=2)
    optimizer = make_optimizer(recipe, model)
    schedule = make_schedule(recipe, optimizer, 10)
    for _ in range(19):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates[1] == pytest.approx(10 * rates[0])
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_one_cycle_works_where_the_warm_up_is_a_single_step(epochs):
    recipe = settings(schedule="one_cycle", warmup_fraction=0.1, epochs=epochs)
    values = schedule_values(recipe, 1)
    assert len(values) == epochs
    assert max(values) <= 1e-3 * (1 + 1e-9)


def wave(length, top=1.0, floor=0.0):
    return [floor + (top - floor) * (1 + math.cos(math.pi * i / length)) / 2 for i in range(length)]


def test_warm_restarts_are_waves_that_grow_by_the_factor():
    recipe = settings(
        schedule="warm_restarts", lr=1.0, epochs=7, restart_period=1, restart_factor=2, min_lr=0.1
    )
    expected = [rate for epochs in (1, 2, 4) for rate in wave(10 * epochs, floor=0.1)]
    assert schedule_values(recipe, 10) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "rest"),
    [
        ("constant", [1.0] * 40),
        ("plateau", [1.0] * 40),
        ("step", [1.0] * 20 + [0.1] * 20),
        ("cosine", wave(40)),
        ("warm_restarts", wave(20) * 2),
    ],
)
def test_the_warm_up_rises_to_where_the_schedule_begins(schedule, rest):
    recipe = settings(
        schedule=schedule, lr=1.0, epochs=5, warmup_epochs=1, step_size=2, restart_period=2
    )
    warmup = [(step + 1) / 11 for step in range(10)]
    assert schedule_values(recipe, 10) == pytest.approx(warmup + rest)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "warm_restarts", "plateau"])
@pytest.mark.parametrize("warmup_epochs", [0.01, 0.5, 1.9])
def test_a_warm_up_may_be_a_part_of_an_epoch(schedule, warmup_epochs):
    recipe = settings(schedule=schedule, epochs=2, warmup_epochs=warmup_epochs)
    for batches in (1, 3):
        values = schedule_values(recipe, batches)
        assert len(values) == 2 * batches
        assert values[0] < 1e-3
        assert max(values) <= 1e-3 * (1 + 1e-9)


def test_plateau_lowers_every_rate_after_too_many_epochs_without_a_lower_loss():
    recipe = settings(
        schedule="plateau", lr=0.1, bias_lr=1.0, gamma=0.5, plateau_patience=1, min_lr=0.04
    )
    optimizer = make_optimizer(recipe, SimpleCNN())
    plateau = make_plateau(recipe, optimizer)
    rates = []
    for loss in (2.0, 1.0, 1.1, 1.2, 0.9, 1.0, 1.0, 1.0, 1.0):
        plateau.step(loss)
        rates.append([group["lr"] for group in optimizer.param_groups])
    weights, biases = zip(*rates, strict=True)
    assert weights == pytest.approx([0.1] * 3 + [0.05] * 3 + [0.04] * 3)
    assert biases == pytest.approx([1.0] * 3 + [0.5] * 3 + [0.25] * 2 + [0.125])
    assert make_plateau(settings(schedule="cosine"), optimizer) is None


def test_the_rates_of_a_plateau_are_known_from_its_history():
    recipe = settings(schedule="plateau", lr=0.1, plateau_patience=0, epochs=9)
    assert schedule_values(recipe, 3) == [0.1] * 27
    losses = (1.0, 2.0, 0.5, 0.4)  # it stopped early
    history = [Epoch(i, 1.0, 0.5, loss, 0.5, 0.1, 1.0, 1.0) for i, loss in enumerate(losses, 1)]
    assert schedule_values(recipe, 3, history) == pytest.approx([0.1] * 6 + [0.01] * 6)


def test_with_accumulation_the_schedule_moves_with_the_steps_not_the_batches():
    one = schedule_values(settings(schedule="cosine", epochs=3), 4)
    many = schedule_values(settings(schedule="cosine", epochs=3, accumulate=3), 10)
    assert len(many) == 30  # of every batch; an epoch has 3 + 3 + 3 + 1 of them
    firsts = [many[10 * epoch + batch] for epoch in range(3) for batch in (0, 3, 6, 9)]
    assert firsts == pytest.approx(one)
    assert many[:3] == [many[0]] * 3
