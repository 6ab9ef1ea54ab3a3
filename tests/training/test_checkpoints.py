"""What is kept of a training: whole files, whatever stops the writing."""

from pathlib import Path

import pytest
import torch
from toy import HALF, flat

from lab_utils import LabError
from lab_utils.model.networks import build
from lab_utils.training.checkpoints import Best, load_best, save_best


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
