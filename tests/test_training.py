"""What a training promises: the same again, the same after a stop, every image counted once."""

from dataclasses import replace
import math

import pytest
import torch
from torch import nn

from lab_utils import LabError
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.data.augment import mixing
from lab_utils.data.batches import Batches, normalize, training_batches
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model.build import new_model
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.check import step_memory_mb
from lab_utils.setup.hardware import Machine
from lab_utils.training.checkpoints import load_best, load_checkpoint
from lab_utils.training.findings import hyperparameters, schedule_effect, verdict
from lab_utils.training.fit import fit, out_of_patience
from lab_utils.training.history import read_history, write_history
from lab_utils.training.loop import train_epoch
from lab_utils.training.optim import make_optimizer, make_schedule, schedule_values

CPU = Machine(torch.device("cpu"), "a test", torch.float32, "a test")


def toy(count, seed):
    """Images of 3 classes that differ in brightness: a network learns them in a few steps."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    noise = torch.randint(60, (count, 3, 16, 16), generator=generator)
    return Split((noise + 70 * targets.view(-1, 1, 1, 1)).to(torch.uint8), targets)


@pytest.fixture
def dataset():
    return Dataset("toy", "Toy", "a test", "none", ("a", "b", "c"), toy(102, 0), toy(30, 1), "0")


@pytest.fixture
def settings():
    # 102 images in batches of 32: the last batch has 6.
    return Settings(experiment="toy", epochs=3, batch_size=32, schedule="one_cycle", lr=3e-3)


def train(folder, dataset, settings, **options):
    network = new_model(settings, dataset)
    history = fit(network, dataset, settings, CPU, folder, **options)
    return network.state_dict(), history


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def without_times(history):
    times = ("seconds", "images_per_second")
    return [{key: value for key, value in row.items() if key not in times} for row in history]


def test_training_lowers_the_loss_and_leaves_a_usable_best_checkpoint(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["train_loss"] < history[0]["train_loss"] < 1.5 * math.log(3)
    network, best = load_best(tmp_path / "best.pt")
    assert not network.training
    logits, targets = predict(network, Batches(dataset.val, 7, best["mean"], best["std"]), CPU)
    assert accuracy(logits, targets) == best["val_accuracy"]
    assert best["val_accuracy"] == max(row["val_accuracy"] for row in history)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, dataset, settings):
    first, history = train(tmp_path / "1", dataset, settings)
    torch.rand(7)  # what was drawn before a training does not matter
    second, again = train(tmp_path / "2", dataset, settings)
    assert same(first, second)
    assert without_times(history) == without_times(again)
    other, _ = train(tmp_path / "3", dataset, settings.model_copy(update={"seed": 7}))
    assert not same(first, other)


@pytest.mark.parametrize(
    "recipe",
    [
        *({"schedule": name} for name in ("constant", "step", "cosine", "one_cycle", "linear")),
        {"schedule": "warm_restarts", "restart_period": 1, "warmup_epochs": 0.5},
        {"schedule": "plateau", "plateau_patience": 0, "lr": 0.08, "optimizer": "sgd"},
        {"mixup": 0.3, "cutmix": 1.0, "label_smoothing": 0.1},
        {"accumulate": 3, "clip_norm": 0.1, "ema_decay": 0.9, "muon_lr": 0.1},
        {"optimizer": "adamw", "muon_lr": 0.1, "bias_lr": 0.01, "alternate_flip": True},
        {"optimizer": "sgd", "cutout": 4, "crop_fill": "reflect"},
        {"rotation": 10.0, "color_jitter": (0.2, 0.2, 0.2, 0.1)},
        {"model": "compactnet"},
    ],
    ids=lambda recipe: "-".join(str(value) for value in recipe.values()),
)
def test_a_training_stopped_in_mid_epoch_ends_with_the_same_weights(
    tmp_path, dataset, settings, recipe
):
    settings = settings.model_copy(update=recipe)
    whole, history = train(tmp_path / "whole", dataset, settings)

    steps = []

    def stop(step, loss):
        steps.append(step)
        if len(steps) == 4 + 2:  # in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", dataset, settings, on_step=stop)
    assert len(load_checkpoint(tmp_path / "cut" / "last.pt")["history"]) == 1
    torch.rand(7)
    resumed, joined = train(tmp_path / "cut", dataset, settings)
    assert same(whole, resumed)
    assert without_times(history) == without_times(joined)
    cut, best = (load_best(tmp_path / name / "best.pt") for name in ("cut", "whole"))
    assert same(cut[0].state_dict(), best[0].state_dict())
    assert cut[1] == best[1]


def test_a_finished_training_is_not_trained_again(tmp_path, dataset, settings):
    weights, history = train(tmp_path, dataset, settings)

    def fail(*_):
        pytest.fail("trained again")

    again, same_history = train(tmp_path, dataset, settings, on_step=fail, on_epoch=fail)
    assert same(weights, again)
    assert same_history == history
    _, fresh = train(tmp_path, dataset, settings, resume=False)
    assert without_times(fresh) == without_times(history)


def test_a_step_that_was_killed_keeps_its_checkpoint_and_one_that_was_done_starts_afresh(
    tmp_path, monkeypatch, settings
):
    monkeypatch.setenv("LAB_RUNS_DIR", str(tmp_path))
    run = Run.create(settings, "toy")
    last = run.file("checkpoints/last.pt")
    last.parent.mkdir()
    run.begin("04_training")
    last.touch()
    run.begin("04_training")  # again, after a kill
    assert last.is_file()
    run.finish("04_training")
    run.begin("03_model")
    assert last.is_file()
    run.begin("04_training")
    assert not last.exists()


@pytest.mark.parametrize("batch_size", [1, 32, 51, 101, 102])
def test_training_loss_and_accuracy_count_every_image_once(dataset, settings, batch_size):
    changes = {"batch_size": batch_size, "flip": False, "crop_padding": 0, "schedule": "constant"}
    settings = settings.model_copy(update=changes)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    still = torch.optim.SGD(network.parameters(), lr=0.0)  # the weights stay where they are
    batches = training_batches(settings, dataset, CPU.device)
    schedule = make_schedule(settings, still, len(batches))
    loss, share = train_epoch(network, batches, still, schedule, CPU)

    logits, targets = predict(network, Batches(dataset.train, 7, dataset.mean, dataset.std), CPU)
    assert share == (logits.argmax(1) == targets).sum().item() / 102 == accuracy(logits, targets)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, targets).item(), rel=1e-5)
    assert 0 < share < 1


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


def test_the_schedule_drawn_is_the_schedule_trained_with(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    drawn = schedule_values(settings, len(training_batches(settings, dataset, CPU.device)))
    assert [row["lr"] for row in history] == pytest.approx(drawn[::4])


@pytest.mark.parametrize(
    ("accuracies", "stops"),
    [
        ([0.3, 0.5, 0.4, 0.5, 0.4, 0.9], 4),  # a tie is not better
        ([0.3, 0.5, 0.4, 0.6, 0.5, 0.5], 6),
        ([0.3, 0.2, 0.1], 3),
        ([0.1, 0.2, 0.3, 0.4], None),
    ],
)
def test_patience_runs_out_that_many_epochs_after_the_best(accuracies, stops):
    rows = [{"epoch": i, "val_accuracy": a} for i, a in enumerate(accuracies, 1)]
    ends = [n for n in range(len(rows) + 1) if out_of_patience(rows[:n], 2)]
    assert ends[:1] == ([stops] if stops else [])
    assert not out_of_patience(rows, None)


def test_a_training_stops_early_and_keeps_its_best_weights(tmp_path, dataset, settings):
    # So small a learning rate changes no prediction: no epoch is better than the first.
    changes = {"epochs": 50, "patience": 2, "lr": 1e-12, "schedule": "constant", "optimizer": "sgd"}
    settings = settings.model_copy(update=changes)
    network = new_model(settings, dataset)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # its running statistics would change predictions too
    history = fit(network, dataset, settings, CPU, tmp_path)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert load_best(tmp_path / "best.pt")[1]["epoch"] == 1

    def fail(*_):
        pytest.fail("trained on")

    assert fit(network, dataset, settings, CPU, tmp_path, on_step=fail) == history


def test_patience_goes_on_counting_after_a_stop(tmp_path, dataset, settings):
    settings = settings.model_copy(update={"epochs": 20, "patience": 2, "schedule": "constant"})
    _, whole = train(tmp_path / "whole", dataset, settings)
    assert len(whole) < 20

    def stop(history):
        if len(history) == len(whole) - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", dataset, settings, on_epoch=stop)
    _, joined = train(tmp_path / "cut", dataset, settings)
    assert without_times(joined) == without_times(whole)


def test_one_cycle_leaves_the_momentum_of_the_settings(settings):
    settings = settings.model_copy(update={"optimizer": "sgd", "momentum": 0.8})
    optimizer = make_optimizer(settings, nn.Linear(2, 2))
    make_schedule(settings, optimizer, 10)
    assert optimizer.param_groups[0]["momentum"] == 0.8


def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path, dataset, settings):
    settings = settings.model_copy(update={"optimizer": "sgd", "lr": 100.0, "schedule": "constant"})

    def spoil(step, loss):
        with torch.no_grad():
            next(network.parameters()).fill_(math.nan)

    network = new_model(settings, dataset)
    with pytest.raises(LabError, match=r"not a number after epoch 1; lower lr=100"):
        fit(network, dataset, settings, CPU, tmp_path, on_step=spoil)
    assert not (tmp_path / "last.pt").exists()


def test_a_batch_larger_than_the_data_stops_with_a_sentence(tmp_path, dataset, settings):
    with pytest.raises(LabError, match=r"batch_size=103 is larger than the 102 .* at most 102"):
        train(tmp_path, dataset, settings.model_copy(update={"batch_size": 103}))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
    ids=lambda error: f"{type(error).__name__}-{str(error)[:12]}",
)
def test_out_of_memory_names_the_batch_size_to_try(tmp_path, dataset, settings, error):
    def run_out(step, loss):
        raise error

    with pytest.raises(LabError, match=r"batch_size=32; try batch_size=16"):
        train(tmp_path, dataset, settings, on_step=run_out)


def test_other_errors_pass_as_they_are(tmp_path, dataset, settings):
    def fail(step, loss):
        raise RuntimeError("Expected contiguous memory format")

    with pytest.raises(RuntimeError, match="memory format"):
        train(tmp_path, dataset, settings, on_step=fail)


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_damaged_checkpoint_stops_with_a_sentence(tmp_path, dataset, settings, keep):
    train(tmp_path, dataset, settings.model_copy(update={"epochs": 1}))
    last = tmp_path / "last.pt"
    last.write_bytes(last.read_bytes()[:keep])
    with pytest.raises(LabError, match=r"last\.pt is damaged .*; delete it and run 04_training"):
        train(tmp_path, dataset, settings)
    with pytest.raises(LabError, match=r"missing: run 04_training first"):
        load_checkpoint(tmp_path / "none.pt")


class Code:
    """Pickled, it names a function; loading a pickle of it would call that."""

    def __reduce__(self):
        return print, ("this runs when it is unpickled",)


def test_a_checkpoint_holds_no_code_and_one_that_does_is_refused(
    tmp_path, dataset, settings, capsys
):
    train(tmp_path, dataset, settings)
    for name in ("best.pt", "last.pt"):
        assert torch.load(tmp_path / name, weights_only=True)
    torch.save({"model": Code()}, tmp_path / "evil.pt")
    with pytest.raises(LabError, match="damaged"):
        load_checkpoint(tmp_path / "evil.pt")
    assert "this runs" not in capsys.readouterr().out


def test_the_history_comes_back_from_csv_as_it_was(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    write_history(tmp_path / "history.csv", history)
    assert read_history(tmp_path / "history.csv") == history


@pytest.mark.parametrize("batch_size", [4, 64])
def test_the_memory_of_a_step_is_near_what_one_counts_by_hand(settings, batch_size):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 10)
    )
    settings = settings.model_copy(update={"batch_size": batch_size})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = step_memory_mb(network, settings, CPU, 16)
    # For backward: the image, the ReLU's output (the linear layer's input too); four copies of
    # the weights.
    by_hand = batch_size * (3 + 8) * 16 * 16 * 4 + 4 * 4 * (224 + 20_490)
    assert found * 1e6 == pytest.approx(by_hand, rel=0.5)
    assert same(before, network.state_dict())


def test_the_memory_estimate_leaves_running_statistics_and_grows_with_the_batch(settings, dataset):
    network = new_model(settings, dataset)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    bfloat16 = Machine(torch.device("cpu"), "a test", torch.bfloat16, "a test")
    for machine in (CPU, bfloat16):
        small, large = (
            step_memory_mb(network, settings.model_copy(update={"batch_size": n}), machine, 16)
            for n in (100, 200)
        )
        assert small < large < 2 * small
    assert same(before, network.state_dict())


def test_the_verdict_follows_from_the_gap_and_the_training_accuracy():
    assert verdict(0.95, 0.80)[0] == "overfitting"
    assert verdict(0.60, 0.58)[0] == "underfitting"
    assert verdict(0.82, 0.79)[0] == "balanced"
    assert "gap of 3.0 percentage points" in verdict(0.82, 0.79)[1]
    assert "validation accuracy is 0.8 points higher" in verdict(0.82, 0.828)[1]
    assert verdict(0.79, 0.78)[1].endswith("(rule of thumb: training accuracy below 80%).")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(
    "schedule",
    ["constant", "step", "cosine", "one_cycle", "linear", "warm_restarts", "plateau"],
)
@pytest.mark.parametrize("epochs", [1, 20])
def test_every_hyperparameter_has_a_reason(dataset, settings, optimizer, schedule, epochs):
    settings = settings.model_copy(
        update={"optimizer": optimizer, "schedule": schedule, "epochs": epochs}
    )
    rows = hyperparameters(settings, dataset, CPU, 4)
    assert all(row["value"] and row["reason"].endswith(".") for row in rows)
    history = [{"val_loss": 1.0, "val_accuracy": 0.5}] * epochs
    assert schedule_effect(history, schedule_values(settings, 4)).endswith(".")


def test_the_recorded_loss_is_the_plain_cross_entropy_also_when_smoothed():
    """With a learning rate of nothing the weights stay, so that the epoch's loss can be redone."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    split = Split(images, torch.arange(50) % 3)
    batches = Batches(split, 16, (0.5,) * 3, (0.25,) * 3, generator=torch.Generator())
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    loss, _ = train_epoch(model, batches, optimizer, schedule, CPU, label_smoothing=0.3)
    inputs = normalize(images, (0.5,) * 3, (0.25,) * 3)
    expected = nn.functional.cross_entropy(model(inputs), split.targets).item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_a_training_is_not_continued_on_other_data(tmp_path, dataset, settings):
    train(tmp_path, dataset, settings.model_copy(update={"epochs": 1}))
    with pytest.raises(LabError, match="other data"):
        train(tmp_path, replace(dataset, fingerprint="1"), settings)


def flat(model, kind="parameters"):
    return torch.cat([p.detach().flatten() for p in getattr(model, kind)()])


def still_batches(count=70, batch_size=8, classes=3):
    """Images without augmentation in a random order that is the same each time."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(count) % classes)
    return Batches(split, batch_size, (0.5,) * 3, (0.25,) * 3, generator=generator)


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


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
        history = fit(network, data, settings, CPU, tmp_path / str(settings.accumulate))
        weights.append((flat(network), [row["lr"] for row in history]))
    torch.testing.assert_close(weights[0][0], weights[1][0], atol=1e-6, rtol=1e-5)
    assert (weights[0][0] - before).abs().max() > 1e-3
    assert weights[0][1] == pytest.approx(weights[1][1])


@pytest.mark.parametrize("clip_norm", [None, 0.01, 1e6])
def test_clipping_bounds_the_norm_and_leaves_shorter_gradients(clip_norm):
    """With plain SGD and a learning rate of one a step is the gradient."""
    steps, weights = [], []
    for limit in (clip_norm, None):
        model = small_net()
        before = flat(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
        batches = still_batches(count=8)
        train_epoch(model, batches, optimizer, schedule, CPU, clip_norm=limit)
        steps.append((flat(model) - before).norm().item())
        weights.append(flat(model))
    clipped, whole = steps
    assert whole > 0.1
    assert clipped == pytest.approx(0.01 if clip_norm == 0.01 else whole, rel=1e-3)
    if clip_norm != 0.01:
        assert torch.equal(*weights)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_mixed_targets_sum_to_one_and_tell_the_shares_of_the_images(mixup, cutmix):
    """Image i is all i: what a mixed image holds shows how much of which image is in it."""
    torch.manual_seed(0)
    values = torch.arange(4.0)
    inputs, targets = values.view(-1, 1, 1, 1).expand(4, 3, 32, 32), torch.arange(4)
    added = 0
    for _ in range(40):
        mixed, soft = mixing(mixup, cutmix, 4)(inputs, targets)
        assert soft.shape == (4, 4)
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ values)
        assert (soft > 0).sum(1).max() <= 2
        added += not torch.equal(mixed, mixed.round())
    expected = {(0.4, 0.0): range(35, 41), (0.0, 1.0): range(1)}.get((mixup, cutmix), range(8, 33))
    assert added in expected


def test_no_mixing_is_no_function():
    assert mixing(0.0, 0.0, 10) is None


def test_of_mixed_images_the_loss_to_the_shares_and_the_larger_share_are_recorded():
    def mix(inputs, targets):  # three quarters of each image and one of the next
        soft = nn.functional.one_hot(targets, 3).float()
        shares = 0.75 * soft + 0.25 * soft.roll(1, 0)
        return 0.75 * inputs + 0.25 * inputs.roll(1, 0), shares

    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    loss, share = train_epoch(
        model, still_batches(), optimizer, schedule, CPU, label_smoothing=0.2, mix=mix
    )
    losses, hits = [], []
    for inputs, targets in still_batches():
        mixed, shares = mix(inputs, targets)
        logits = model(mixed)
        losses += [-(shares * logits.log_softmax(1)).sum(1)]
        hits += [logits.argmax(1) == targets]
    assert loss == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)
    assert share == pytest.approx(torch.cat(hits).float().mean().item())


def test_the_average_follows_the_weights_and_is_what_is_validated_and_kept(
    tmp_path, dataset, settings
):
    settings = settings.model_copy(update={"ema_decay": 0.8})
    network, expected = new_model(settings, dataset), None

    def follow(step, loss):
        nonlocal expected
        now = {key: value.clone() for key, value in network.state_dict().items()}
        if expected is None:  # it begins with the weights after the first step
            expected = now
        for key, value in now.items():
            if value.is_floating_point():
                expected[key] = 0.8 * expected[key] + 0.2 * value

    history = fit(network, dataset, settings, CPU, tmp_path, on_step=follow)
    for key, value in network.state_dict().items():  # running statistics are averaged too
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[key], atol=1e-6, rtol=1e-5)
    logits, targets = predict(network, Batches(dataset.val, 7, dataset.mean, dataset.std), CPU)
    assert accuracy(logits, targets) == history[-1]["val_accuracy"]
    raw = load_checkpoint(tmp_path / "last.pt")["model"]
    assert not same(raw, network.state_dict())
    first, _ = train(tmp_path / "1", dataset, settings.model_copy(update={"epochs": 1}))
    assert same(load_best(tmp_path / "1" / "best.pt")[0].state_dict(), first)


@pytest.mark.parametrize(
    "option",
    [
        {"rotation": 20.0},
        {"color_jitter": (0.3, 0.3, 0.3, 0.1)},
        {"mixup": 1.0},
        {"cutmix": 1.0},
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


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"schedule": "cosine", "warmup_epochs": 2.0}, "schedule", "first 2 epochs"),
        ({"accumulate": 4}, "accumulate", "128 images"),
        ({"clip_norm": 1.0}, "clip_norm", "shortened"),
        ({"ema_decay": 0.99}, "ema_decay", "last 100 steps"),
        ({"patience": 3}, "patience", "Stops 3 epochs after"),
        ({"mixup": 0.2}, "mixup", "share of each"),
        ({"mixup": 0.2, "cutmix": 1.0}, "cutmix", "chance decides"),
        ({"folds": 5, "fold": 2}, "fold", "held out"),
        ({"flip": False, "crop_padding": 0, "rotation": 5.0}, "augmentation", "many variants"),
    ],
)
def test_an_option_has_its_reason_where_it_is_on(dataset, settings, changes, name, words):
    changed = settings.model_copy(update=changes)
    rows = {row["name"]: row["reason"] for row in hyperparameters(changed, dataset, CPU, 4)}
    assert words in rows[name]
    assert rows[name].endswith(".")
    plain = {row["name"] for row in hyperparameters(settings, dataset, CPU, 4)}
    assert name in plain or name in changes or name == "fold"
    assert set(changes) & plain <= {"schedule"}  # what is off has no row of its own


def test_a_compiled_step_trains_the_same_weights(tmp_path, dataset, settings, monkeypatch):
    modes, real = [], torch.compile

    def traced(model, mode):  # the whole path but for the code that a GPU's compiler would make
        modes.append(mode)
        return real(model, backend="eager")

    plain, compiled = new_model(settings, dataset), new_model(settings, dataset)
    fit(plain, dataset, settings, CPU, tmp_path / "plain")
    monkeypatch.setattr(torch, "compile", traced)
    fit(compiled, dataset, settings.model_copy(update={"compile": True}), CPU, tmp_path / "graph")
    assert modes == ["reduce-overhead"]
    for name, value in compiled.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name])
