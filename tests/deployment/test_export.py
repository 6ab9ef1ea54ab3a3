"""What the lab promises of exported files."""

import json
import os
from pathlib import Path
import socket
import subprocess
import sys
import zipfile

import onnxruntime
import pytest
from safetensors import safe_open
import torch

from lab_utils.core.params import project_root
from lab_utils.deployment import FILES, NEEDS
from lab_utils.deployment.formats import open_model

FLOATS = ["safetensors", "TorchScript", "torch.export", "ONNX"]


@pytest.mark.parametrize("count", [1, 2, 5, 64])
def test_every_export_takes_batches_of_any_size_with_the_same_logits(exported, count, pixels):
    model, _, files, _ = exported
    assert list(files) == FLOATS
    with torch.inference_mode():
        expected = model(pixels(count))
        for file in files.values():
            found = open_model(file).run(pixels(count))
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_temperature_is_inside(exported, pixels):
    model, about, files, _ = exported
    network, inputs = model.network, (pixels(3) - model.mean) / model.std
    with torch.inference_mode():
        expected = network(inputs) / about.temperature
        assert about.temperature != 1
        for file in files.values():
            found = open_model(file).run(pixels(3))
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_exporting_says_nothing_and_leaves_one_file_a_format(exported):
    _, _, files, said = exported
    assert said == ""
    folder = files["ONNX"].parent
    assert {path.name for path in folder.iterdir()} == {FILES[kind] for kind in FLOATS}
    assert NEEDS.keys() == FILES.keys()


def test_every_export_tells_what_it_is(exported):
    _, about, files, _ = exported
    assert (about.run, about.commit, about.card) == ("ants", "abc", "# Ants")
    for file in files.values():
        assert open_model(file).about == about


def test_the_metadata_can_be_read_without_the_lab(exported):
    files = exported[2]
    session = onnxruntime.InferenceSession(files["ONNX"])
    texts = session.get_modelmeta().custom_metadata_map
    with safe_open(files["safetensors"], "np") as file:
        assert file.metadata()["classes"] == texts["classes"]
    assert json.loads(texts["classes"]) == ["ant", "bee", "cow", "dog"]
    assert json.loads(texts["threshold"]) == 0.3 and json.loads(texts["image_size"]) == 32
    assert len(json.loads(texts["mean"])) == len(json.loads(texts["std"])) == 3


def test_no_export_tells_a_path_a_user_or_a_host_of_this_machine(exported):
    secrets = {str(project_root()), str(Path.home()) + "/", "site-packages", sys.prefix}
    if len(host := socket.gethostname()) > 3:  # "lab" would be found in any file
        secrets.add(host)
    for file in exported[2].values():
        parts = {file.name: file.read_bytes()}
        if zipfile.is_zipfile(file):  # TorchScript's are compressed
            with zipfile.ZipFile(file) as archive:
                parts |= {name: archive.read(name) for name in archive.namelist()}
        for part, content in parts.items():
            for secret in secrets - {"//"}:
                assert secret.encode() not in content, (file.name, part, secret)


def test_onnx_runtime_reports_nothing_to_its_maker(exported, tmp_path):
    """It would keep an identity and a queue of reports below the home folder."""
    code = (
        "import sys, time; from pathlib import Path; from lab_utils.deployment import formats; "
        "formats.open_model(Path(sys.argv[1])); time.sleep(0.5)"
    )
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    kept = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", code, exported[2]["ONNX"]]
    subprocess.run(command, env=kept | homes, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
