"""Which parameters go to which optimiser, what Muon does to them, and that states come back."""

import copy

from lab_utils.models import SimpleCNN
from lab_utils.muon import FilterMuon
from lab_utils.optim import Together, make_optimizer, make_schedule, schedule_values
from lab_utils.settings import Settings
import pytest
import torch
from torch import nn


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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_muon_update_is_torchs_on_the_matrix_of_each_filter(layout):
    torch.manual_seed(0)
    start, gradient = torch.randn(16, 8, 3, 3), torch.randn(16, 8, 3, 3)
    filters = nn.Parameter(start.clone().to(memory_format=layout))
    filters.grad = gradient.clone().to(memory_format=layout)
    FilterMuon([filters], lr=0.1).step()

    def matrix(x):  # the columns in the order of the filter's memory
        return (x.movedim(1, -1) if layout is torch.channels_last else x).flatten(1)

    oracle = nn.Parameter(matrix(start) * 4 / start.norm())
    oracle.grad = matrix(gradient)
    torch.optim.Muon([oracle], lr=0.1, momentum=0.6, weight_decay=0, ns_steps=3).step()
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


def test_muon_refuses_what_is_no_filter():
    with pytest.raises(ValueError, match="shape"):
        FilterMuon([nn.Parameter(torch.zeros(3, 3))], lr=0.1)


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
