"""The profile of a training step accounts for all of its time, under names that people know."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd import DeviceType

from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model import build, summary
from lab_utils.model.networks import simplecnn
from lab_utils.setup import hardware
from lab_utils.speed import figures, operators, profiling


@pytest.fixture
def settings():
    # Three steps in all: fewer than a profile takes, and one-cycle refuses a fourth.
    recipe = {"batch_size": 16, "epochs": 1, "schedule": "one_cycle"}
    return Settings(experiment="t", data="shapes", device="cpu", **recipe)


@pytest.fixture(scope="module")
def dataset():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(40) % 10)
    return Dataset("noise", "Noise", "", "", [str(i) for i in range(10)], split, split, "noise")


@pytest.mark.parametrize("way", [profiling.course_step, profiling.lab_step])
@pytest.mark.parametrize("model", ["simplecnn", "resnet20", "speednet"])
def test_a_profile_accounts_for_the_whole_step(way, model, settings, dataset):
    extra = {"model": model, "muon_lr": 0.1 if model == "speednet" else None}
    settings = settings.model_copy(update=extra)
    found = way(settings, dataset, hardware.choose(settings))
    assert sum(found.shares.values()) == pytest.approx(1)
    named = [share for name, share in found.shares.items() if name not in ("Python", "other")]
    # Python's own share is that of any small step; of the operators almost all have a name.
    assert sum(named) > 0.95 * (1 - found.shares["Python"])
    expected = {"making the batch", "optimiser", "batch norm", "pooling", "loss"}
    assert expected | {"convolution, forward", "convolution, backward"} <= set(found.shares)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    flops = 16 * profiling.training_flops(build.new_model(settings, dataset))
    assert found.gflops == pytest.approx(flops / found.seconds / 1e9)


def test_the_profiled_model_is_not_the_one_that_is_trained(settings, dataset):
    before = build.new_model(settings, dataset).state_dict()
    profiling.lab_step(settings, dataset, hardware.choose(settings))
    after = build.new_model(settings, dataset).state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_operations_are_counted_of_the_images_that_a_profile_takes(settings, dataset):
    settings = settings.model_copy(update={"model": "speednet", "train_sides": (16,)})
    training = profiling.small_training(settings, dataset, hardware.choose(settings))
    assert next(iter(training.batches))[0].shape[-2:] == dataset.train.images.shape[-2:]


def event(name, own, caller=None, gpu=0.0, device=DeviceType.CPU):
    return SimpleNamespace(
        name=name, self_cpu_time_total=own, self_device_time_total=gpu, cpu_parent=caller,
        device_type=device,
    )  # fmt: skip


def test_an_operator_is_named_by_what_called_it():
    step = event("Optimizer.step#FilterMuon.step", 1e6)
    batch = event("making the batch", 1e6)
    conv = event("aten::conv2d", 1e6)
    norm = event("autograd::engine::evaluate_function: NativeBatchNormBackward0", 1e6)
    events = [
        step, event("aten::mm", 1e6, step), batch, event("aten::copy_", 1e6, batch),
        conv, event("aten::empty", 1e6, conv), event("aten::copy_", 1e6, conv),
        norm, event("aten::fill_", 1e6, norm), event("aten::detach", 1e6),
    ]  # fmt: skip
    shares = operators.operator_shares(events, 20, cuda=False)
    assert shares == {
        "Python": 0.5, "optimiser": 0.1, "making the batch": 0.1, "convolution, forward": 0.1,
        "batch norm": 0.1, "copies, conversions": 0.05, "other": 0.05,
    }  # fmt: skip


def test_on_a_gpu_its_kernels_count_and_its_waiting_is_named():
    events = [
        event("aten::convolution_backward", 9e6, gpu=3e6),
        event("a_kernel", 0, gpu=3e6, device=DeviceType.CUDA),  # the one that the operator started
    ]
    shares = operators.operator_shares(events, 4, cuda=True)
    assert shares == {"convolution, backward": 0.75, "GPU waits": 0.25}


def test_the_backward_pass_costs_twice_the_forward_but_for_the_first_layers_input():
    model = simplecnn.SimpleCNN()
    first = summary.layer_table(model)[0].flops
    assert profiling.training_flops(model) == 3 * summary.count_flops(model) - first


def test_frozen_filters_and_groups_are_counted_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False).requires_grad_(False),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.Flatten(),
        nn.Linear(8 * 16, 10, bias=False),
    )
    frozen, depthwise, linear = 2 * 16 * 3 * 8, 2 * 16 * 9 * 8, 2 * 128 * 10
    # The depthwise layer's input comes from frozen filters, and needs no gradient.
    assert profiling.training_flops(model, 4) == frozen + 2 * depthwise + 3 * linear
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())


def test_the_figures_show_every_kind_and_every_change():
    shares = {"pooling": 0.75, "loss": 0.25}
    course, lab = (profiling.StepProfile(s, 16, shares, 10.0, 20.0) for s in (0.004, 0.002))
    drawing = figures.step_time(course, lab)
    ax = drawing.figure.axes[0]
    assert "4.0 ms the course's way" in drawing.caption and "2.0 times as long" in drawing.caption
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([3.0, 1.0, 1.5, 0.5])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["pooling", "loss"]
    rows = [{"what": "course", "ours": 500.0}, {"what": "whole batches", "ours": 250.0}]
    machine = {"cpu": "a CPU", "cores": 2, "gpu": None}
    ax = figures.changes({"rows": rows, "machine": machine}).figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["500 s", "250 s, 2.0 times as fast"]


def test_a_profiled_step_is_the_one_that_is_trained_with_all_that_the_recipe_adds(
    settings, dataset, monkeypatch
):
    """MixUp, accumulation, clipping and the average are in it, or it would flatter the recipe."""
    recipe = {"mixup": 0.5, "accumulate": 2, "clip_norm": 1.0, "ema_decay": 0.9, "batch_size": 8}
    made = []

    class Seen(profiling.Training):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(profiling, "Training", Seen)
    settings = settings.model_copy(update=recipe)
    found = profiling.lab_step(settings, dataset, hardware.choose(settings))
    (training,) = made
    assert found.images == 16  # two batches of 8
    assert training.average.n_averaged > 1
    assert {name: getattr(training.settings, name) for name in recipe} == recipe


def test_steps_and_matrix_products_take_turns(settings, dataset, monkeypatch):
    """A peak of a busier moment than the step's would give more than 100%."""
    done, epoch, product = [], profiling.Training.epoch, torch.Tensor.__matmul__
    monkeypatch.setattr(
        profiling.Training, "epoch", lambda *told: (done.append("step"), epoch(*told))[1]
    )
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: (done.append("product"), product(a, b))[1]
    )
    profiling.lab_step(settings, dataset, hardware.choose(settings))
    first = done.index("product")
    assert done[first:] == ["product", *["step", "product"] * profiling._TURNS, "step"]


def test_on_an_apple_gpu_the_profile_is_of_the_processor(settings, monkeypatch):
    run = SimpleNamespace(settings=settings)
    apple = SimpleNamespace(device=torch.device("mps"))
    monkeypatch.setattr(profiling, "machine_for", lambda run: apple)
    assert profiling.machine_of_profile(run).device.type == "cpu"
