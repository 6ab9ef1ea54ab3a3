"""What an epoch promises: every image counted once, and a recipe that reaches the weights."""

import ast
from dataclasses import replace
import inspect
import textwrap

import nbformat
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from toy import CPU, HALF, Watch, flat, same, small_net, still_batches, toy, train

from lab_utils.core.params import project_root
from lab_utils.core.settings import Settings
from lab_utils.data.batches import Batches, normalize, training_batches
from lab_utils.data.dataset import Split
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.hardware import Machine
from lab_utils.training.checkpoints import load_best, load_checkpoint
from lab_utils.training.fit import fit
from lab_utils.training.loop import Training, train_epoch, validate
from lab_utils.training.optim import Objective


def toy_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3))


@pytest.mark.parametrize("batch_size", [1, 32, 51, 101, 102])
def test_training_loss_and_accuracy_count_every_image_once(dataset, settings, batch_size):
    changes = {"batch_size": batch_size, "flip": False, "crop_padding": 0, "schedule": "constant"}
    settings = settings.model_copy(update=changes)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    still = torch.optim.SGD(network.parameters(), lr=0.0)  # the weights stay where they are
    batches = training_batches(settings, dataset, CPU.device)
    loss, share = train_epoch(network, batches, cross_entropy, still)

    logits, targets = predict(network, Batches(dataset.train, 7, dataset.normalization), CPU)
    assert share == (logits.argmax(1) == targets).sum().item() / 102 == accuracy(logits, targets)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, targets).item(), rel=1e-5)
    assert 0 < share < 1


def test_the_recorded_loss_is_the_plain_cross_entropy_also_when_smoothed():
    """With a learning rate of nothing the weights stay, so that the epoch's loss can be redone."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    split = Split(images, torch.arange(50) % 3)
    batches = Batches(split, 16, HALF, generator=torch.Generator())
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    smoothed = Objective(0.3, lambda: 1.0)
    loss, _ = train_epoch(model, batches, smoothed, optimizer)
    inputs = normalize(images, HALF)
    expected = nn.functional.cross_entropy(model(inputs), split.targets).item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_accumulating_four_batches_of_32_equals_one_of_128(tmp_path, dataset):
    """Also at the end of an epoch, where fewer images are left, and for any schedule."""
    data = replace(dataset, train=toy(300, 0))  # 128 + 128 + 44
    weights = []
    for changes in ({"batch_size": 128}, {"batch_size": 32, "accumulate": 4}):
        settings = Settings(
            experiment="toy", epochs=2, schedule="one_cycle", clip_norm=1.0, ema_decay=0.5,
            optimizer="sgd", lr=0.1, flip=False, crop_padding=0, **changes,
        )  # fmt: skip
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3))
        before = flat(network)
        training = Training(settings, data, CPU, network)
        history = fit(training, tmp_path / str(settings.accumulate))
        weights.append((flat(network), [row.lr for row in history]))
    torch.testing.assert_close(weights[0][0], weights[1][0], atol=1e-6, rtol=1e-5)
    assert (weights[0][0] - before).abs().max() > 1e-3
    assert weights[0][1] == pytest.approx(weights[1][1])


def test_an_epoch_has_a_step_for_every_so_many_batches_and_one_for_the_rest(dataset, settings):
    for together, steps in ((1, 4), (2, 2), (3, 2), (4, 1), (5, 1)):  # an epoch has 4 batches
        training = Training(settings.model_copy(update={"accumulate": together}), dataset, CPU)
        optimizer, taken = torch.optim.SGD(training.model.parameters(), 0.01), []
        optimizer.register_step_post_hook(lambda *_, taken=taken: taken.append(1))
        training.use_optimizer(optimizer)
        training.epoch()
        assert len(taken) == training.steps_per_epoch == steps


@pytest.mark.parametrize("clip_norm", [None, 0.01, 1e6])
def test_clipping_bounds_the_norm_and_leaves_shorter_gradients(dataset, settings, clip_norm):
    """With plain SGD and a learning rate of one a step is the gradient."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "lr": 1.0, "schedule": "constant"}
    steps, weights = [], []
    for limit in (clip_norm, None):
        changed = settings.model_copy(update={**plain, "batch_size": 102, "clip_norm": limit})
        training = Training(changed, dataset, CPU, toy_net())
        before = flat(training.model)
        training.epoch()
        steps.append((flat(training.model) - before).norm().item())
        weights.append(flat(training.model))
    clipped, whole = steps
    assert whole > 0.1
    assert clipped == pytest.approx(0.01 if clip_norm == 0.01 else whole, rel=1e-3)
    if clip_norm != 0.01:
        assert torch.equal(*weights)


def test_of_mixed_images_the_loss_to_the_shares_and_the_larger_share_are_recorded():
    def mixed():  # three quarters of each image and one of the next
        for inputs, targets in still_batches():
            soft = nn.functional.one_hot(targets, 3).float()
            shares = 0.75 * soft + 0.25 * soft.roll(1, 0)
            yield 0.75 * inputs + 0.25 * inputs.roll(1, 0), shares

    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    loss, share = train_epoch(model, mixed(), Objective(0.2, lambda: 1.0), optimizer)
    losses, hits = [], []
    for inputs, shares in mixed():
        logits = model(inputs)
        losses += [-(shares * logits.log_softmax(1)).sum(1)]
        hits += [logits.argmax(1) == shares.argmax(1)]
    assert loss == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)
    assert share == pytest.approx(torch.cat(hits).float().mean().item())


def test_the_average_follows_the_weights_and_is_what_is_validated_and_kept(
    tmp_path, dataset, settings
):
    settings = settings.model_copy(update={"ema_decay": 0.8})
    training, expected = Training(settings, dataset, CPU), None
    network = training.model

    def follow(step, loss):
        nonlocal expected
        now = {key: value.clone() for key, value in network.state_dict().items()}
        if expected is None:  # it begins with the weights after the first step
            expected = now
        for key, value in now.items():
            if value.is_floating_point():
                expected[key] = 0.8 * expected[key] + 0.2 * value

    history = fit(training, tmp_path, progress=Watch(step=follow))
    for key, value in network.state_dict().items():  # running statistics are averaged too
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[key], atol=1e-6, rtol=1e-5)
    logits, targets = predict(network, Batches(dataset.val, 7, dataset.normalization), CPU)
    assert accuracy(logits, targets) == history[-1].val_accuracy
    raw = load_checkpoint(tmp_path / "checkpoints" / "last.pt")["model"]
    assert not same(raw, network.state_dict())
    first, _ = train(tmp_path / "1", dataset, settings.model_copy(update={"epochs": 1}))
    assert same(load_best(tmp_path / "1" / "checkpoints" / "best.pt")[0].state_dict(), first)


@pytest.mark.parametrize(
    "option",
    [
        {"rotation": 20.0},
        {"color_jitter": (0.3, 0.3, 0.3, 0.1)},
        {"cutout": 8},
        {"mixup": 1.0},
        {"cutmix": 1.0},
        {"label_smoothing": 0.2},
        {"accumulate": 2},
        {"clip_norm": 0.01},
        {"ema_decay": 0.9},
        {"schedule": "cosine", "min_lr": 2e-3},
    ],
    ids=str,
)
def test_an_option_of_the_settings_reaches_the_training(tmp_path, dataset, settings, option):
    settings = settings.model_copy(update={"epochs": 1, "schedule": option.get("schedule", "step")})
    without, _ = train(tmp_path / "without", dataset, settings)
    with_it, _ = train(tmp_path / "with", dataset, settings.model_copy(update=option))
    assert not same(without, with_it)


def test_a_compiled_step_trains_the_same_weights(tmp_path, dataset, settings, monkeypatch):
    modes, real = [], torch.compile

    def traced(model, mode):  # the whole path but for the code that a GPU's compiler would make
        modes.append(mode)
        return real(model, backend="eager")

    plain, _ = train(tmp_path / "plain", dataset, settings)
    monkeypatch.setattr(torch, "compile", traced)
    changed = settings.model_copy(update={"compile": True})
    compiled, _ = train(tmp_path / "graph", dataset, changed)
    assert modes == ["reduce-overhead"]
    for name, value in compiled.items():
        torch.testing.assert_close(value, plain[name])


def test_label_smoothing_reaches_the_gradient():
    """By hand: the gradient of the logits is softmax less the smoothed targets."""
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0]], requires_grad=True)
    targets = torch.tensor([0, 2])
    loss = Objective(0.3, lambda: 1.0)(logits, targets)
    loss.backward()
    wanted = 0.7 * torch.eye(3)[targets] + 0.1
    torch.testing.assert_close(logits.grad, (logits.softmax(1) - wanted).detach() / 2)
    assert loss.item() == pytest.approx(cross_entropy(logits, targets).item())


def test_mixed_precision_multiplies_in_bfloat16_and_gives_float32_logits(dataset, settings):
    bfloat16 = Machine(torch.device("cpu"), "a test", torch.bfloat16, "a test")
    training = Training(settings, dataset, bfloat16)
    kinds = []
    convolution = next(m for m in training.model.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda _, inputs, output: kinds.append(output.dtype))
    inputs, _ = next(iter(training.batches))
    assert training.network(inputs).dtype == torch.float32
    assert kinds == [torch.bfloat16]
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_a_recipe_without_extras_leaves_no_trace_in_the_training(dataset, settings):
    training = Training(settings, dataset, CPU)
    assert training.loss_function is cross_entropy
    assert training.network is training.model is training.judged
    assert type(training.optimizer) is torch.optim.Adam


@pytest.mark.parametrize("function", [train_epoch, validate])
def test_the_loops_of_the_notebook_are_the_librarys(function):
    cells = nbformat.read(project_root() / "notebooks/04_training.ipynb", as_version=4).cells
    (source,) = (c.source for c in cells if c.source.startswith(f"def {function.__name__}("))
    assert len(source.splitlines()) <= 15
    theirs = ast.parse(source).body[0].body
    ours = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body[1:]
    assert [ast.dump(line) for line in theirs] == [ast.dump(line) for line in ours]
    assert len(inspect.signature(function).parameters) <= 5


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_validation_counts_every_image_once_and_leaves_the_model_as_it_was(dataset, batch_size):
    network = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(3 * 16 * 16, 3)).train()
    batches = Batches(dataset.val, batch_size, dataset.normalization)
    loss, share = validate(network, batches)
    assert network.training
    assert next(network.parameters()).grad is None
    logits, targets = predict(network, Batches(dataset.val, 30, dataset.normalization), CPU)
    assert loss == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-5)
    assert share == accuracy(logits, targets)


def test_validation_computes_in_the_machines_precision(dataset, settings):
    bfloat16 = Machine(torch.device("cpu"), "a test", torch.bfloat16, "a test")
    training, kinds = Training(settings, dataset, bfloat16), []
    convolution = next(m for m in training.model.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda _, inputs, output: kinds.append(output.dtype))
    training.model.eval()
    training.validate()
    assert set(kinds) == {torch.bfloat16}
    assert not training.model.training  # as it was
