"""The ONNX file in 8-bit integers: a quarter of the size, and faster where the processor helps.

A tensor x becomes whole numbers q with x = scale (q - zero point): Jacob et al., arXiv:1712.05877.
The work is ONNX Runtime's static quantisation (QDQ), described at
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.data.dataset import Split
from lab_utils.deployment import FILES, INT8, ONNX
from lab_utils.deployment.compare import logits_of
from lab_utils.deployment.formats import open_model
from lab_utils.model.predict import accuracy

CALIBRATION_IMAGES = 512
FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8", "dot", "i8mm")
GOOD_ENOUGH = 0.003  # the loss of validation accuracy at which no other scheme is tried


@dataclass(frozen=True)
class Scheme:
    """How ranges are found (a CalibrationMethod of ONNX Runtime), and what stays in float32.

    The last layer always does: it is small, and its sums are the logits, which 8 bits would round
    to steps of about a fifth.
    """

    calibration: str
    first_in_float: bool = False  # the first convolution

    def __str__(self) -> str:
        kept = "first and last layer" if self.first_in_float else "last layer"
        return f"{self.calibration}, {kept} in float32"


# In the order in which they are tried: the first takes the least time, and most need no other.
SCHEMES = (Scheme("MinMax"), Scheme("Percentile"), Scheme("MinMax", first_in_float=True))


@dataclass(frozen=True)
class Tried:
    """A scheme and what it leaves of the validation accuracy; fractions of 1."""

    scheme: str
    accuracy: float
    drop: float


@dataclass(frozen=True)
class Quantized:
    """The int8 file and the schemes that were tried; or None and ``why``."""

    file: Path | None
    tried: list[Tried]
    why: str = ""


def quantize_best(folder: Path, train: Split, val: Split) -> Quantized:
    """Write ``model_int8.onnx`` beside ``model.onnx`` in ``folder``.

    Ranges come from training images; of SCHEMES the first is kept that loses at most GOOD_ENOUGH
    of the validation accuracy, or else the one that loses least.
    """
    source, target = folder / FILES[ONNX], folder / FILES[INT8]
    target.unlink(missing_ok=True)  # of another training
    plain = accuracy(logits_of(open_model(source).run, val.images), val.targets)
    sample = train.images[:: max(1, len(train) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    tried, contents = [], []
    for scheme in SCHEMES:
        try:
            contents.append(quantized(source, sample, scheme))
        except LabError as error:
            if not contents:
                return Quantized(None, [], str(error))
            continue  # a scheme that worked is there
        write_atomic(target, lambda part: part.write_bytes(contents[-1]))
        found = accuracy(logits_of(open_model(target).run, val.images), val.targets)
        tried.append(Tried(str(scheme), found, plain - found))
        if tried[-1].drop <= GOOD_ENOUGH:
            return Quantized(target, tried)
    best = contents[min(range(len(tried)), key=lambda i: tried[i].drop)]
    write_atomic(target, lambda part: part.write_bytes(best))
    return Quantized(target, tried)


def quantized(source: Path, images: Tensor, scheme: Scheme) -> bytes:
    """The ONNX file ``source`` in int8, its ranges measured on ``images`` (N, 3, S, S) uint8.

    Weights are symmetric, a scale for each output channel, and use 7 of the 8 bits: where a
    processor adds two products in 16 bits (no VNNI), 8 bits may overflow unnoticed. Activations are
    uint8 with a zero point.
    """
    import onnx
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(ort.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images.split(64))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"pixels": (batch.float() / 255).numpy()}

    level = logging.getLogger().level
    with TemporaryDirectory() as place:
        ready, done = Path(place, "ready.onnx"), Path(place, "int8.onnx")
        try:
            logging.getLogger().setLevel(logging.ERROR)  # it advises on the root logger
            with redirect_stdout(None):  # what it prints helps nobody
                quant_pre_process(source, ready, skip_symbolic_shape=True)
                ort.quantize_static(
                ready, done, Images(), ort.QuantFormat.QDQ,
                per_channel=True, reduce_range=True,
                activation_type=ort.QuantType.QUInt8, weight_type=ort.QuantType.QInt8,
                calibrate_method=ort.CalibrationMethod[scheme.calibration],
                nodes_to_exclude=_in_float(onnx.load(ready), scheme),
            )  # fmt: skip
        except Exception as error:  # of many kinds, by the operator that it cannot quantise
            words = f"{type(error).__name__}: {error}".split("\n")[0]
            raise LabError(f"This network cannot be quantised ({words}); use ONNX.") from error
        finally:
            logging.getLogger().setLevel(level)
        model = onnx.load(done)
    properties = {p.key: p.value for p in onnx.load(source).metadata_props}
    onnx.helper.set_model_props(model, properties | {"quantized": str(scheme)})
    return model.SerializeToString()


def _in_float(model: Any, scheme: Scheme) -> list[str]:
    """The names of the nodes of an ONNX model that stay as they are."""
    linear = [node.name for node in model.graph.node if node.op_type in ("Gemm", "MatMul")]
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return linear[-1:] + convolutions[: scheme.first_in_float]


def first_filters(int8: Quantized, plain: Path) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """A filter bank of the int8 file: its name, weights, scales and whole numbers.

    (O, I, H, W) float32 of the ONNX file ``plain``, (O,) float32 and (O, I, H, W) int8. Where the
    filters were merged with what follows them, the weights are those that the file stands for;
    where there is no int8 file, the whole numbers are what one would hold.
    """
    floats = _tensors(plain)
    if not int8.file:
        name, weights = next((n, t) for n, t in floats.items() if t.ndim == 4)
        scale = np.maximum(abs(weights).max((1, 2, 3)) / 64, 1e-30)
        whole = np.rint(weights / scale[:, None, None, None])
        return name, weights, scale, whole
    stored, ending = _tensors(int8.file), "_quantized"
    name = next(n for n, t in stored.items() if n.endswith(ending) and t.ndim == 4)
    whole, name = stored[name], name.removesuffix(ending)
    scale = stored[f"{name}_scale"]
    weights = whole * scale[:, None, None, None]
    other = floats.get(name, weights)
    same = other.shape == weights.shape and np.allclose(other, weights, atol=scale.max())
    return name, other if same else weights, scale, whole


def _tensors(path: Path) -> dict[str, np.ndarray]:
    import onnx

    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def has_vnni() -> bool:
    """Whether this processor multiplies and adds 8-bit integers in one instruction.

    On x86 that is VNNI (AVX-512, AVX or AMX), on ARM the dot product or matrix instructions.
    """
    flags = torch.cpu.get_capabilities()
    return any(flags.get(flag) for flag in FLAGS)
