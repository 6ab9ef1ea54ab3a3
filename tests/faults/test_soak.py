"""Many runs in one process, and many resumptions of one training: nothing grows, nothing drifts."""

import json
import os
import subprocess
import sys

import pytest
from toy import same, toy_dataset, train, without_times

from lab_utils.core.params import load_settings, project_root

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux does"),
]


def test_many_runs_and_sweeps_in_one_process_hold_no_more_than_a_few(full, survived, tmp_path):
    if not full:
        pytest.skip("takes a minute: pytest -m faults")
    root = project_root()
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "LAB_SET": "", "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, root / "tests/faults/soak.py", "50", "20"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    held = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(held) == 70, done.stderr
    for what, first in (("run", 10), ("sweep", 5)):
        rows = [row for row in held if row["what"] == what]
        for key in ("handles", "threads", "temporary"):
            assert max(row[key] for row in rows[first:]) <= rows[first][key], (what, key)
        assert rows[-1]["objects"] < 1.001 * rows[first]["objects"], what
        # Blocks that were freed leave gaps: 11 MB after 40 runs, while what is in use stays.
        assert rows[-1]["memory"] - rows[first]["memory"] < 25e6, what
        survived(f"{what}s in one process", len(rows), "memory, handles, threads, files flat")


def test_a_training_resumed_again_and_again_ends_with_the_same_weights(full, survived, tmp_path):
    epochs, times = (200, 20) if full else (8, 4)
    settings = load_settings("smoke", epochs=epochs, batch_size=34, threads=1, schedule="cosine")
    data = toy_dataset()
    whole, history = train(tmp_path / "whole", data, settings)

    def stop(rows):
        if len(rows) % (epochs // times) == 0:
            raise KeyboardInterrupt

    for _ in range(times):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "resumed", data, settings, epoch=stop)
    resumed, rows = train(tmp_path / "resumed", data, settings)
    assert same(whole, resumed)
    assert without_times(rows) == without_times(history)
    survived(f"resumptions of a training of {epochs} epochs", times, "the same weights and history")
