"""An export that computes something else is refused, in a process that knows nothing of the lab."""

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch

from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.deployment import compare, fresh
from lab_utils.deployment.formats import open_model


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (60, 3, 32, 32), generator=generator).byte()


@pytest.fixture(scope="module")
def answers(exported, images):
    return compare.in_fresh_processes(exported[2], images)


def test_every_float_file_answers_in_a_new_process_as_the_model_does(exported, images, answers):
    model, _, files, _ = exported
    expected = compare.logits_of(model, images)
    rows = compare.compare(files, answers, expected, expected.argmax(1))
    assert [row.name for row in rows] == list(files)
    for row, file in zip(rows, files.values(), strict=True):
        assert row.max_logit_difference < 1e-4
        assert row.same_predictions == row.accuracy == 1 and row.difference == 0
        assert row.bytes == file.stat().st_size > 4 * 600_000


def test_the_new_process_imports_nothing_of_the_lab():
    tree = ast.parse(Path(fresh.__file__).read_text(encoding="utf-8"))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in names if name.startswith("lab")]
    top = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
    assert "torch" not in top


def test_a_process_that_needs_what_strangers_lack_is_refused(
    exported, images, monkeypatch, tmp_path
):
    script = tmp_path / "fresh.py"
    monkeypatch.setattr(compare, "__file__", str(tmp_path / "compare.py"))
    files = {"ONNX": exported[2]["ONNX"]}
    script.write_text("print('[\"torch\"]')")
    with pytest.raises(LabError, match="ONNX needs torch to run"):
        compare.in_fresh_processes(files, images)
    script.write_text("raise SystemExit('no such operator')")
    with pytest.raises(LabError, match="ONNX does not run in a new process: no such operator"):
        compare.in_fresh_processes(files, images)


def test_weights_that_differ_from_the_graph_are_refused(exported, images, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported[2]["safetensors"])
    tensors["mean"] = tensors["mean"] + 1e-6
    save_file(tensors, tmp_path / "model.safetensors")
    files = {
        "safetensors": tmp_path / "model.safetensors",
        "TorchScript": exported[2]["TorchScript"],
    }
    with pytest.raises(LabError, match=r"differ: \['mean'\]"):
        compare.in_fresh_processes(files, images)


def test_a_wrong_export_is_named_with_its_worst_image(exported, images, answers):
    expected = answers["ONNX"]
    wrong = expected.clone()
    wrong[17, 2] += 2e-3 * max(1, expected.abs().max() / 10)
    targets = expected.argmax(1)
    with pytest.raises(LabError, match=r"ONNX is not the model .* test image 17 a logit is off"):
        compare.compare(exported[2], {"ONNX": wrong}, expected, targets)
    nothing = torch.full_like(expected, float("nan"))
    with pytest.raises(LabError, match="ONNX is not the model"):
        compare.compare(exported[2], {"ONNX": nothing}, expected, targets)


def test_int8_may_lose_a_point_and_what_chance_explains(exported):
    files = {"int8 ONNX": exported[2]["ONNX"]}
    n = 2000
    expected = torch.eye(4)[torch.arange(n) % 4]
    targets = expected.argmax(1)

    def losing(count):
        logits = expected.clone()
        logits[:count] = logits[:count].roll(1, 1)
        return {"int8 ONNX": logits}

    (row,) = compare.compare(files, losing(10), expected, targets)
    assert row.difference == pytest.approx(-0.005) and row.accuracy == pytest.approx(0.995)
    assert row.difference_low < -0.005 < row.difference_high
    with pytest.raises(LabError, match=r"int8 ONNX loses 5\.0 points"):
        compare.compare(files, losing(100), expected, targets)
    few = slice(0, 40)
    two_of_few = {"int8 ONNX": losing(1)["int8 ONNX"][few]}
    compare.compare(files, two_of_few, expected[few], targets[few])  # one of forty is chance


def test_a_paired_difference_is_that_of_the_image_by_image_changes():
    rng = np.random.default_rng(0)
    ours, theirs = (torch.from_numpy(rng.random(500) < p) for p in (0.8, 0.75))
    change = ours.double() - theirs.double()
    error = change.std(correction=0).item() / 500**0.5
    found = compare.paired_difference(ours, theirs)
    mean = change.mean().item()
    assert found == pytest.approx((mean, mean - 1.96 * error, mean + 1.96 * error))
    assert compare.paired_difference(ours, ours) == (0, 0, 0)


def test_06_judges_a_small_batch_by_the_size_of_the_logits():
    """A network that diverged has logits of 10^8, whose rounding alone is off by more than 1."""
    cells = nbformat.read(project_root() / "notebooks/06_deployment.ipynb", 4).cells
    (cell,) = [c.source for c in cells if "classify(pixels[:size])" in c.source]
    pixels, logits = torch.zeros(100, 3, 4, 4), torch.linspace(-1e8, 1e8, 400).reshape(100, 4)

    def run_with(answers):
        opened = SimpleNamespace(run=lambda some: answers[: len(some)])
        names = {"torch": torch, "open_model": lambda _: opened, "files": {"ONNX": None}}
        exec(cell, names | {"pixels": pixels, "answers": {"ONNX": logits}, "expected": logits})

    run_with(logits + 8)
    with pytest.raises(AssertionError):
        run_with(logits + 1e5)


def test_ties_are_counted():
    logits = torch.tensor([[1.0, 1.00015, 0], [1, 1.0003, 0], [2, 0, 2]])
    assert compare.ties(logits) == 2


def test_every_format_is_timed_at_every_batch_size(exported, pixels):
    runs = {kind: open_model(file).run for kind, file in exported[2].items()}
    times = compare.measure(runs, pixels(4), batch_sizes=(1, 6), seconds=0.01, rounds=2)
    assert list(times) == list(runs)
    assert all(list(sizes) == [1, 6] for sizes in times.values())
    assert all(len(calls) >= 2 and min(calls) > 0 for s in times.values() for calls in s.values())


def test_times_become_latency_and_throughput(exported, answers):
    expected = answers["ONNX"]
    (row,) = compare.compare(exported[2], {"ONNX": expected}, expected, expected.argmax(1))
    timed = compare.with_times(row, {1: [0.001] * 98 + [0.005] * 2, 8: [0.004, 0.002, 0.1]})
    assert timed.latency_ms == pytest.approx(1) and timed.latency_p99_ms == pytest.approx(5)
    assert timed.throughput == pytest.approx({1: 1000, 8: 2000})
    assert replace(timed, latency_ms=None, latency_p99_ms=None, throughput={}) == row
