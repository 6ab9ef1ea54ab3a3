"""int8: the numbers in the file are what the by-hand rule gives, and the answers stay."""

import logging

from exports import export_all
import numpy as np
import onnx
import pytest
import torch

from lab_utils.core.settings import MODELS
from lab_utils.data.dataset import Normalization, Split
from lab_utils.deployment import compare, quantize
from lab_utils.deployment.formats import open_model
from lab_utils.deployment.pixel_model import About, PixelModel
from lab_utils.model import networks


@pytest.fixture(scope="module")
def splits():
    """Images of noise, to find the ranges and to choose."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (120, 3, 32, 32), generator=generator).byte()
    return Split(images[:80], torch.arange(80) % 4), Split(images[80:], torch.arange(40) % 4)


@pytest.fixture(scope="module")
def int8(exported, splits):
    return quantize.quantize_best(exported[2]["ONNX"].parent, *splits)


def test_the_int8_file_is_a_third_of_the_size_and_nearly_the_same(exported, int8, splits):
    plain = exported[2]["ONNX"]
    assert int8.file.stat().st_size < 0.35 * plain.stat().st_size
    expected = compare.logits_of(open_model(plain).run, splits[1].images)
    found = compare.logits_of(open_model(int8.file).run, splits[1].images)
    off = (found - expected).abs().mean() / expected.std()
    assert 0 < off < 0.15
    opened = open_model(int8.file)
    assert opened.kind == "int8 ONNX" and opened.about == exported[1]


def test_the_schemes_are_tried_on_validation_images_until_one_is_good(int8, splits, exported):
    plain, right = open_model(exported[2]["ONNX"]).run, splits[1].targets
    accuracy = (compare.logits_of(plain, splits[1].images).argmax(1) == right).double().mean()
    for row in int8.tried:
        assert row.drop == pytest.approx(accuracy.item() - row.accuracy)
    assert all(row.drop > quantize.GOOD_ENOUGH for row in int8.tried[:-1]) or len(int8.tried) == 1
    best = min(int8.tried, key=lambda row: row.drop)
    kept = compare.logits_of(open_model(int8.file).run, splits[1].images).argmax(1) == right
    assert kept.double().mean().item() == pytest.approx(best.accuracy)


def test_the_whole_numbers_in_the_file_are_those_of_the_rule(exported, int8):
    name, weights, scales, whole = quantize.first_filters(int8, exported[2]["ONNX"])
    assert name.endswith("weight") and whole.dtype == np.int8 and abs(whole).max() == 64
    by_hand = abs(weights).max((1, 2, 3)) / 64
    np.testing.assert_allclose(by_hand, scales, rtol=1e-4)
    q = np.rint(weights / by_hand[:, None, None, None])
    assert (q == whole).mean() > 0.99


def test_the_last_layer_stays_in_float(int8):
    graph = onnx.load(int8.file).graph
    stored = {t.name: t for t in graph.initializer}
    last = [node for node in graph.node if node.op_type == "Gemm"][-1]
    assert stored[last.input[1]].data_type == onnx.TensorProto.FLOAT


def test_quantising_says_nothing_and_leaves_the_log_as_it_was(exported, splits, capfd):
    level = logging.getLogger().level
    for scheme in quantize.SCHEMES:
        quantize.quantized(exported[2]["ONNX"], splits[0].images[:8], scheme)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().level == level


def test_where_it_is_impossible_a_sentence_says_so(exported, splits, monkeypatch, tmp_path):
    import onnxruntime.quantization as ort

    def refuse(*arguments, **options):
        raise NotImplementedError("no such operator")

    monkeypatch.setattr(ort, "quantize_static", refuse)
    plain = exported[2]["ONNX"]
    (tmp_path / "model.onnx").write_bytes(plain.read_bytes())
    (tmp_path / "model_int8.onnx").write_bytes(b"of another training")
    found = quantize.quantize_best(tmp_path, *splits)
    assert found.file is None and "cannot be quantised (NotImplementedError" in found.why
    assert not (tmp_path / "model_int8.onnx").exists()
    _, weights, scales, whole = quantize.first_filters(found, plain)
    assert whole.shape == weights.shape and len(scales) == len(weights)


@pytest.mark.parametrize(("name", "size"), [*((name, 32) for name in MODELS), ("simplecnn", 48)])
def test_every_network_is_exported_and_quantised(name, size, tmp_path):
    torch.manual_seed(0)
    options = {"widths": [16, 16, 16], "whitening_stride": 2} if name == "speednet" else {}
    network = networks.build(name, 3, size, **options)
    network(torch.randn(32, 3, size, size))
    images = torch.randint(256, (24, 3, size, size)).byte()
    split = Split(images, torch.arange(24) % 3)
    about = About(
        ("a", "b", "c"), size, (0.5,) * 3, (0.25,) * 3, 1.5, 0.5, 0.95, name, options, "", None, ""
    )
    model = PixelModel(network, Normalization(about.mean, about.std), 1.5).eval()
    files = export_all(model, about, tmp_path)
    expected = compare.logits_of(model, images)
    for kind, file in files.items():
        found = compare.logits_of(open_model(file).run, images)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4, msg=kind)
    int8 = quantize.quantize_best(tmp_path, split, split)
    assert int8.file, int8.why
    assert compare.logits_of(open_model(int8.file).run, images).isfinite().all()
