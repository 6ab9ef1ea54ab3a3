"""What the lab promises of exported files."""

import os
import subprocess
import sys

import pytest
import torch

from lab_utils.core.params import project_root
from lab_utils.deployment import export


def test_every_export_loads_again_and_computes_the_same(exported, pixels):
    model, exports, _ = exported
    rows = export.compare(model, exports, pixels(50))
    assert [row.name for row in rows] == ["state dict", "TorchScript", "torch.export", "ONNX"]
    for row, file in zip(rows, exports, strict=True):
        assert row.max_logit_difference < 1e-4
        assert row.same_predictions == 1
        assert row.bytes == file.path.stat().st_size > 4 * 600_000


@pytest.mark.parametrize("count", [1, 2, 5, 64])
def test_every_export_takes_batches_of_any_size(exported, count, pixels):
    model, exports, _ = exported
    with torch.inference_mode():
        expected = model(pixels(count))
        for file in exports:
            torch.testing.assert_close(file.run(pixels(count)), expected, atol=1e-4, rtol=0)


def test_a_wrong_export_would_be_noticed(exported, pixels):
    model, exports, _ = exported
    wrong = export.Export("wrong", exports[0].path, "", lambda x: model(x).flip(1))
    (row,) = export.compare(model, [wrong], pixels(50))
    assert row.max_logit_difference > 1e-3
    assert row.same_predictions < 0.5


def test_exporting_says_nothing_and_leaves_one_file_a_format(exported):
    _, exports, said = exported
    assert said == ""
    folder = exports[0].path.parent
    assert {path.name for path in folder.iterdir()} == {file.path.name for file in exports}


def test_no_export_tells_a_path_of_this_machine(exported):
    for file in exported[1]:
        content = file.path.read_bytes()
        assert str(project_root()).encode() not in content
        assert b"site-packages" not in content


def test_every_format_is_timed_at_every_batch_size(exported, pixels):
    times = export.measure(exported[1], pixels(4), batch_sizes=(1, 6), seconds=0.01, rounds=2)
    assert list(times) == [file.name for file in exported[1]]
    assert all(list(sizes) == [1, 6] and min(sizes.values()) > 0 for sizes in times.values())


def test_onnx_runtime_reports_nothing_to_its_maker(exported, tmp_path):
    """It would keep an identity and a queue of reports below the home folder."""
    onnx = next(file.path for file in exported[1] if file.name == "ONNX")
    code = (
        "import sys, time; from pathlib import Path; from lab_utils.deployment import export; "
        "export.load_onnx(Path(sys.argv[1])); time.sleep(0.5)"
    )
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    kept = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code, onnx], env=kept | homes, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
