"""What a training promises: the same again, the same after a stop, and errors for people."""

from dataclasses import replace
from functools import partial
import math

import nbformat
import pytest
import torch
from torch import nn
from toy import CPU, Watch, same, train, without_times

from lab_utils import LabError
from lab_utils.core.files import one_training
from lab_utils.core.params import project_root
from lab_utils.core.run import Run
from lab_utils.data.batches import Batches, training_batches
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup.hardware import Machine
from lab_utils.training import findings
from lab_utils.training.checkpoints import load_best, load_checkpoint
import lab_utils.training.fit as fit_module
from lab_utils.training.fit import Stopped, fit
from lab_utils.training.history import Epoch, read_history, write_history
from lab_utils.training.loop import Training, train_epoch, validate
from lab_utils.training.optim import schedule_values


def test_training_lowers_the_loss_and_leaves_a_usable_best_checkpoint(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    assert [row.epoch for row in history] == [1, 2, 3]
    assert history[-1].train_loss < history[0].train_loss < 1.5 * math.log(3)
    for row in history:
        assert row.images_per_second == pytest.approx(102 / row.seconds)
    network, best = load_best(tmp_path / "checkpoints" / "best.pt")
    assert not network.training
    logits, targets = predict(network, Batches(dataset.val, 7, best.normalization), CPU)
    assert accuracy(logits, targets) == best.val_accuracy
    assert best.val_accuracy == max(row.val_accuracy for row in history)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, dataset, settings):
    first, history = train(tmp_path / "1", dataset, settings)
    torch.rand(7)  # what was drawn before a training does not matter
    second, again = train(tmp_path / "2", dataset, settings)
    assert same(first, second)
    assert without_times(history) == without_times(again)
    other, _ = train(tmp_path / "3", dataset, settings.model_copy(update={"seed": 7}))
    assert not same(first, other)


def test_what_was_drawn_between_making_a_training_and_fitting_it_does_not_matter(
    tmp_path, dataset, settings
):
    trainings = [Training(settings, dataset, CPU) for _ in range(2)]
    for number, training in enumerate(trainings):
        torch.rand(number)
        fit(training, tmp_path / str(number), progress=Watch())
    first, second = (training.model.state_dict() for training in trainings)
    assert same(first, second)


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
        train(tmp_path / "cut", dataset, settings, step=stop)
    assert len(load_checkpoint(tmp_path / "cut" / "checkpoints" / "last.pt")["history"]) == 1
    torch.rand(7)
    resumed, joined = train(tmp_path / "cut", dataset, settings)
    assert same(whole, resumed)
    assert without_times(history) == without_times(joined)
    cut, best = (
        load_best(tmp_path / name / "checkpoints" / "best.pt") for name in ("cut", "whole")
    )
    assert same(cut[0].state_dict(), best[0].state_dict())
    assert cut[1] == best[1]


def interrupted(at, whole=train_epoch):
    """``train_epoch`` with the stop button pressed in the step ``at``, counted over the epochs."""
    steps = iter(range(1, 1000))

    def some_steps(model, batches, loss_function, optimizer):
        def told():
            for batch in batches:
                if next(steps) == at:
                    raise KeyboardInterrupt
                yield batch

        return whole(model, told(), loss_function, optimizer)

    return some_steps


@pytest.fixture
def kernel(runs, dataset, settings):
    """A new kernel in which the cells of notebook 04 before the training were run: its names."""

    def start(name="toy"):
        run = Run.create(settings, name)
        run.begin("04_training")
        names = {"Training": Training, "fit": partial(fit, progress=Watch()), "nn": nn, "run": run}
        names |= {"settings": settings, "dataset": dataset, "machine": CPU, "validate": validate}
        return names

    return start


def run_cell(names, train_epoch=train_epoch, fresh=False):
    """Run the training cell of notebook 04 in the kernel of these ``names``."""
    cells = nbformat.read(project_root() / "notebooks/04_training.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if cell.id == "train")
    assert source.count("fresh = False") == 1
    names["train_epoch"] = train_epoch
    exec(source.replace("fresh = False", f"fresh = {fresh}"), names)
    return names["training"]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("steps", [(2,), (6,), (3, 6), (1, 7, 2)])  # an epoch has 4
def test_the_training_cell_run_again_at_any_moment_ends_with_the_same_weights(
    kernel, steps, restarted
):
    whole, names = run_cell(kernel("whole")), kernel("cut")
    for at in steps:
        with pytest.raises(Stopped):
            run_cell(names, interrupted(at))
        names = kernel("cut") if restarted else names
    done = run_cell(names)
    again = run_cell(kernel("cut"), interrupted(1))  # finished: not a step more
    for training in (done, again):
        assert same(whole.model.state_dict(), training.model.state_dict())
        assert without_times(whole.history) == without_times(training.history)
        assert findings.results(training)["resumed_from_epoch"] == (1 if max(steps) > 4 else 0)


def test_a_finished_training_is_trained_again_only_where_fresh_says_so(kernel):
    names = kernel()
    first = run_cell(names)
    names["run"].finish()
    before = names["run"].manifest
    run_cell(kernel(), interrupted(1))
    assert Run.load("toy").manifest == before
    with pytest.raises(Stopped):
        run_cell(kernel(), interrupted(1), fresh=True)
    assert Run.load("toy").manifest["04_training"]["status"] == "running"
    assert same(first.model.state_dict(), run_cell(kernel()).model.state_dict())


def test_a_stop_is_one_line_that_says_how_to_go_on(tmp_path, dataset, settings):
    again = "Run this cell again to"
    for at, words in (
        (1, f"epoch 1 of 3. {again} begin again."),
        (6, f"epoch 2 of 3; epoch 1 is kept. {again} go on."),
        (6, f"epoch 3 of 3; epochs 1 to 2 are kept. {again} go on."),
    ):
        with pytest.raises(Stopped) as stop:
            fit(Training(settings, dataset, CPU), tmp_path, interrupted(at), progress=Watch())
        assert str(stop.value) == f"Stopped in {words}"
        assert stop.value._render_traceback_() == [str(stop.value)]
        assert stop.value.__suppress_context__


def test_what_a_stopped_training_found_cannot_be_recorded(tmp_path, dataset, settings):
    training = Training(settings, dataset, CPU)
    with pytest.raises(Stopped):
        fit(training, tmp_path, interrupted(6), progress=Watch())
    with pytest.raises(LabError, match="has not finished"):
        findings.results(training)


def test_two_processes_cannot_train_one_run(tmp_path, dataset, settings):
    with one_training(tmp_path), pytest.raises(LabError, match="being trained by another"):
        train(tmp_path, dataset, settings)
    assert not (tmp_path / "history.csv").exists()
    with pytest.raises(Stopped):  # who stops gives the lock back
        fit(Training(settings, dataset, CPU), tmp_path, interrupted(1), progress=Watch())
    _, history = train(tmp_path, dataset, settings)
    assert len(history) == 3


def test_a_validation_of_ones_own_decides_which_epoch_is_best(tmp_path, dataset, settings):
    found = iter([(1.0, 0.2), (2.0, 0.9), (3.0, 0.4)])
    seen = []

    def my_validation(model, batches):
        seen.append(sum(len(targets) for _, targets in batches))
        return next(found)

    history = fit(Training(settings, dataset, CPU), tmp_path, validate=my_validation)
    assert [(row.val_loss, row.val_accuracy) for row in history] == [
        (1.0, 0.2),
        (2.0, 0.9),
        (3.0, 0.4),
    ]
    assert seen == [30, 30, 30]
    assert load_best(tmp_path / "checkpoints" / "best.pt")[1].epoch == 2


def test_a_finished_training_is_not_trained_again(tmp_path, dataset, settings):
    weights, history = train(tmp_path, dataset, settings)

    def fail(*_):
        pytest.fail("trained again")

    again, same_history = train(tmp_path, dataset, settings, step=fail, epoch=fail)
    assert same(weights, again)
    assert same_history == history
    (tmp_path / "checkpoints" / "last.pt").unlink()
    _, fresh = train(tmp_path, dataset, settings)
    assert without_times(fresh) == without_times(history)


def test_a_checkpoint_is_kept_after_a_kill_and_when_done_until_a_training_is_begun_anew(
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
    run.finish()
    run.begin("03_model")
    assert last.is_file()
    run.begin("04_training")
    assert last.is_file()
    run.train_anew()
    assert not last.exists()


def test_the_schedule_drawn_is_the_schedule_trained_with(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    drawn = schedule_values(settings, len(training_batches(settings, dataset, CPU.device)))
    assert [row.lr for row in history] == pytest.approx(drawn[::4])


def test_plateau_follows_the_validation_loss_and_not_the_accuracy(tmp_path, dataset, settings):
    recipe = {"schedule": "plateau", "plateau_patience": 0, "lr": 0.01, "gamma": 0.5, "epochs": 4}
    training = Training(settings.model_copy(update=recipe), dataset, CPU)
    found = iter([(1.0, 0.2), (0.9, 0.9), (0.95, 0.95), (0.8, 0.1)])
    history = fit(training, tmp_path, validate=lambda *_: next(found), progress=Watch())
    assert [row.lr for row in history] == pytest.approx([0.01, 0.01, 0.01, 0.005])


@pytest.mark.parametrize(
    ("accuracies", "stops"),
    [
        ([0.3, 0.5, 0.4, 0.5, 0.4, 0.9], 4),  # a tie is not better
        ([0.3, 0.5, 0.4, 0.6, 0.5, 0.5], 6),
        ([0.3, 0.2, 0.1], 3),
        ([0.1, 0.2, 0.3, 0.4], None),
    ],
)
def test_patience_runs_out_that_many_epochs_after_the_best(dataset, settings, accuracies, stops):
    rows = [Epoch(i, 1.0, 0.5, 1.0, a, 1e-3, 1.0, 1.0) for i, a in enumerate(accuracies, 1)]
    training = Training(settings.model_copy(update={"epochs": 10, "patience": 2}), dataset, CPU)

    def finished(count):
        training.history = rows[:count]
        return training.finished

    assert [n for n in range(len(rows) + 1) if finished(n)][:1] == ([stops] if stops else [])
    training.settings = settings.model_copy(update={"epochs": 10})
    assert not any(finished(n) for n in range(len(rows) + 1))


def test_a_training_stops_early_and_keeps_its_best_weights(tmp_path, dataset, settings):
    # So small a learning rate changes no prediction: no epoch is better than the first.
    changes = {"epochs": 50, "patience": 2, "lr": 1e-12, "schedule": "constant", "optimizer": "sgd"}
    settings = settings.model_copy(update=changes)
    training = Training(settings, dataset, CPU)
    for module in training.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # its running statistics would change predictions too
    history = fit(training, tmp_path)
    assert [row.epoch for row in history] == [1, 2, 3]
    assert load_best(tmp_path / "checkpoints" / "best.pt")[1].epoch == 1

    def fail(*_):
        pytest.fail("trained on")

    again = Training(settings, dataset, CPU)
    assert fit(again, tmp_path, progress=Watch(step=fail)) == history


def test_patience_goes_on_counting_after_a_stop(tmp_path, dataset, settings):
    settings = settings.model_copy(update={"epochs": 20, "patience": 2, "schedule": "constant"})
    _, whole = train(tmp_path / "whole", dataset, settings)
    assert len(whole) < 20

    def stop(history):
        if len(history) == len(whole) - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", dataset, settings, epoch=stop)
    _, joined = train(tmp_path / "cut", dataset, settings)
    assert without_times(joined) == without_times(whole)


def test_a_loss_that_is_no_number_stops_with_a_sentence(tmp_path, dataset, settings):
    settings = settings.model_copy(update={"optimizer": "sgd", "lr": 100.0, "schedule": "constant"})
    training = Training(settings, dataset, CPU)

    def spoil(step, loss):
        with torch.no_grad():
            next(training.model.parameters()).fill_(math.nan)

    with pytest.raises(LabError, match=r"not a number after epoch 1; lower lr=100"):
        fit(training, tmp_path, progress=Watch(step=spoil))
    assert not (tmp_path / "checkpoints" / "last.pt").exists()


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
        train(tmp_path, dataset, settings, step=run_out)


def test_other_errors_pass_as_they_are(tmp_path, dataset, settings):
    def fail(step, loss):
        raise RuntimeError("Expected contiguous memory format")

    with pytest.raises(RuntimeError, match="memory format"):
        train(tmp_path, dataset, settings, step=fail)


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_damaged_checkpoint_stops_with_a_sentence(tmp_path, dataset, settings, keep):
    train(tmp_path, dataset, settings.model_copy(update={"epochs": 1}))
    last = tmp_path / "checkpoints" / "last.pt"
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
        assert torch.load(tmp_path / "checkpoints" / name, weights_only=True)
    torch.save({"model": Code()}, tmp_path / "evil.pt")
    with pytest.raises(LabError, match="damaged"):
        load_checkpoint(tmp_path / "evil.pt")
    assert "this runs" not in capsys.readouterr().out


def test_the_history_comes_back_from_csv_as_it_was(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    assert read_history(tmp_path / "history.csv") == history
    write_history(tmp_path / "copy.csv", history)
    assert read_history(tmp_path / "copy.csv") == history


def test_a_training_is_not_continued_on_other_data(tmp_path, dataset, settings):
    train(tmp_path, dataset, settings.model_copy(update={"epochs": 1}))
    for other in ("1", "-"):  # after and before "0"
        with pytest.raises(LabError, match="other data"):
            train(tmp_path, replace(dataset, fingerprint=other), settings)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_on_a_gpu_too_the_same_seed_gives_the_same_weights(
    tmp_path, dataset, settings, monkeypatch, kind
):
    """Left alone, cuDNN takes whichever convolution is fastest, also one that rounds by chance."""
    train(tmp_path, dataset, settings.model_copy(update={"epochs": 1}))
    training = Training(settings.model_copy(update={"epochs": 1}), dataset, CPU)
    training.machine = Machine(torch.device(kind), "a test", torch.float32, "a test")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    fit(training, tmp_path, progress=Watch())  # finished: nothing is computed
    assert torch.backends.cudnn.deterministic == (kind == "cuda")


@pytest.mark.parametrize("lacks", ["model", "history", "order_rng"])
def test_a_checkpoint_of_something_else_stops_with_a_sentence(tmp_path, dataset, settings, lacks):
    train(tmp_path, dataset, settings.model_copy(update={"epochs": 1}))
    last = tmp_path / "checkpoints" / "last.pt"
    state = torch.load(last, weights_only=True)
    del state[lacks]
    torch.save(state, last)
    with pytest.raises(LabError, match=r"last\.pt is damaged or of another training"):
        train(tmp_path, dataset, settings)


ROW = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds,images_per_second\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "epoch,train_loss\n1,2\n", "epoch\n\xff\n", "a,b\n1,2\n",
        ROW + "inf,1,1,1,1,1,1,1\n", ROW + "1,1,1,nan,1,1,1,1\n", ROW + "1,1,1,1,-inf,1,1,1\n",
        ROW + "2,1,1,1,1,1,1,1\n", ROW + 2 * "1,1,1,1,1,1,1,1\n", ROW + "1.5,1,1,1,1,1,1,1\n",
        ROW + "1,1,50,1,1,1,1,1\n", ROW + "1,1,1,1,1.1,1,1,1\n", ROW + "1,1,1,-1,1,1,1,1\n",
        ROW + "1,1_9,1,1,1,1,1,1\n", ROW + "1, 1,1,1,1,1,1,1\n", ROW + "1,\u0661,1,1,1,1,1,1\n",
        ROW[:-1] + ",lr\n" + "1,1,1,1,1,1,1,1,1\n", ROW + "1,1,1,1,1,1,1,1,1\n",
    ],
)  # fmt: skip
def test_a_damaged_history_stops_with_a_sentence(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_bytes(text.encode("utf-8"))
    with pytest.raises(LabError, match=r"history\.csv is damaged .*run 04_training again"):
        read_history(path)


def test_a_training_goes_through_the_loop_that_it_is_given(tmp_path, dataset, settings):
    """A student's own loop, here one that also counts, ends with the same weights."""
    batches = []

    def my_epoch(model, some_batches, loss_function, optimizer):
        model.train()
        seen, total = 0, 0.0
        for inputs, targets in some_batches:
            batches.append(len(targets))
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            seen, total = seen + len(targets), total + loss.item() * len(targets)
        return total / seen, 0.0

    weights, _ = train(tmp_path / "lab", dataset, settings)
    training = Training(settings, dataset, CPU)
    fit(training, tmp_path / "own", my_epoch)
    assert same(weights, training.model.state_dict())
    assert batches == [32, 32, 32, 6] * 3


def test_the_history_is_whole_however_the_last_epoch_ended(
    tmp_path, dataset, settings, monkeypatch
):
    """Killed between the two files: a training that goes on has every row."""
    _, whole = train(tmp_path / "whole", dataset, settings)
    write, written = fit_module.write_atomic, []

    def killed_in_the_last_epoch(path, save):
        written.append(path)
        if len(written) == settings.epochs:
            raise KeyboardInterrupt
        write(path, save)

    monkeypatch.setattr(fit_module, "write_atomic", killed_in_the_last_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", dataset, settings)
    monkeypatch.undo()
    train(tmp_path / "cut", dataset, settings)
    assert without_times(read_history(tmp_path / "cut/history.csv")) == without_times(whole)


def test_a_loop_that_computes_its_own_loss_is_taken_too(tmp_path, dataset, settings):
    def own_loss(model, batches, loss_function, optimizer):
        for inputs, targets in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        return 1.0, 0.5

    training = Training(settings, dataset, CPU)
    history = fit(training, tmp_path, own_loss, progress=Watch())
    assert [row.train_loss for row in history] == [1.0] * 3


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_one_flipped_bit_of_a_checkpoint_is_found(tmp_path, dataset, settings, name):
    train(tmp_path, dataset, settings)
    path = tmp_path / "checkpoints" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    with pytest.raises(LabError, match=rf"{name} is damaged .*delete it and run 04_training"):
        load_checkpoint(path)


def test_a_checkpoint_that_is_no_dictionary_is_damaged(tmp_path):
    torch.save([1, 2], tmp_path / "last.pt")
    with pytest.raises(LabError, match=r"last\.pt is damaged"):
        load_checkpoint(tmp_path / "last.pt")
