"""What is kept of a training: whole files, whatever stops the writing."""

import os
from pathlib import Path

import pytest
import torch
from toy import HALF, flat

from lab_utils import LabError
from lab_utils.model.networks import build
from lab_utils.training.checkpoints import (
    Best,
    epochs_done,
    load_best,
    load_checkpoint,
    rng_state,
    save_best,
    set_rng_state,
)


def test_better_weights_that_cannot_be_written_leave_the_best_ones_before(tmp_path, monkeypatch):
    path, best = tmp_path / "best.pt", Best("simplecnn", {}, 8, ("a", "b"), HALF, 1, 0.5)
    first, second = (build("simplecnn", 2, 8) for _ in range(2))
    save_best(path, first, best)

    def full(values, file):
        Path(file).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(LabError, match="No space left"):
            save_best(path, second, best)
    assert torch.equal(flat(load_best(path)[0]), flat(first))
    save_best(path, second, best)
    assert torch.equal(flat(load_best(path)[0]), flat(second))


def test_the_random_numbers_of_a_gpu_go_on_beside_those_of_the_cpu(monkeypatch):
    """Where there is no GPU something stands in for it."""
    given = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: torch.tensor([7]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", given.append)
    state = rng_state(torch.device("cuda"))
    drawn = torch.rand(3)
    assert set(state) == {"cpu", "cuda"} and state["cuda"].tolist() == [7]
    set_rng_state(state, torch.device("cpu"))
    assert torch.equal(torch.rand(3), drawn) and not given
    set_rng_state(state, torch.device("cuda"))
    assert torch.equal(torch.rand(3), drawn) and given == [state["cuda"]]


def test_an_unfinished_training_tells_how_many_epochs_it_has_behind_it(tmp_path):
    last = tmp_path / "last.pt"
    assert epochs_done(last) == 0
    torch.save({"history": [{}, {}]}, last)
    assert epochs_done(last) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ("a",)}, {"image_size": {}}, {"epochs": 1}, {"epoch": 1.5}, {"epoch": "1"},
        {"val_accuracy": "0.5"}, {"val_accuracy": float("nan")}, {"val_accuracy": float("inf")},
        {"val_accuracy": [0.5]}, {"val_accuracy": 10**400}, {"epoch": True}, {"epoch": -5},
        {"image_size": -8}, {"image_size": 8.0}, {"classes": [1, 2]}, {"classes": ["a", "a"]},
        {"classes": [["a"], ["b"]]}, {"normalization": [[0.5] * 3, [0.0] * 3]},
        {"normalization": [[float("nan")] * 3] * 2}, {"normalization": [[0.5], [0.5]]},
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_what_is_said_of_them_are_damaged(tmp_path, wrong):
    best = Best("simplecnn", {}, 8, ("a", "b"), HALF, 1, 0.5)
    save_best(tmp_path / "best.pt", build("simplecnn", 2, 8), best)
    torch.save(load_checkpoint(tmp_path / "best.pt") | wrong, tmp_path / "best.pt")
    with pytest.raises(LabError, match=r"best\.pt is damaged"):
        load_best(tmp_path / "best.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes")
def test_weights_that_are_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "best.pt")
    with pytest.raises(LabError, match=r"best\.pt is missing"):
        load_best(tmp_path / "best.pt")
