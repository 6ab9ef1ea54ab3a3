"""Notebook 06: the trained model as files that other programs run, and how fast each is.

Everything here runs on the CPU in float32, which every machine has. The pictures' way into the
model is in ``inference``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
import time
from typing import Any
import warnings

import torch
from torch import Tensor
from torch.export import ExportedProgram

from lab_utils.core.files import write_atomic
from lab_utils.deployment.engine import PixelModel
from lab_utils.model import networks
from lab_utils.training.checkpoints import load_checkpoint

BATCH_SIZES = (1, 8, 64, 256)


Runner = Callable[[Tensor], Tensor]  # pixels (B, 3, S, S) float32 in 0..1 -> logits (B, K)


def weights_bytes(model: PixelModel) -> bytes:
    """The tensors alone, by name: whoever loads them needs the Python code of the model."""
    file = BytesIO()
    torch.save(model.state_dict(), file)
    return file.getvalue()


def load_weights(path: Path, best: Mapping[str, Any]) -> Runner:
    """Build the model that ``best`` describes and fill it with the tensors of ``path``."""
    model = networks.build(
        best["model_name"], len(best["classes"]), best["image_size"], **best["model_options"]
    )
    runner = PixelModel(model, best["mean"], best["std"]).eval()
    runner.load_state_dict(load_checkpoint(path))
    return runner


def torchscript_bytes(model: PixelModel, example: Tensor) -> bytes:
    """The operations of one forward pass, recorded; deprecated in favour of torch.export."""
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.trace(model, example, check_trace=False), file)
    return file.getvalue()


def load_torchscript(path: Path, best: Mapping[str, Any]) -> Runner:
    """Load the recorded operations; no Python code of the model is needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(path, map_location="cpu")


def capture(model: PixelModel, example: Tensor) -> ExportedProgram:
    """The graph of the whole model for any batch size; the example only shows the shapes."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would tell the paths of this machine
    return program


def export_bytes(program: ExportedProgram) -> bytes:
    """The graph in PyTorch's own format."""
    file = BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def load_export(path: Path, best: Mapping[str, Any]) -> Runner:
    """Load the graph; no Python code of the model is needed."""
    return torch.export.load(path).module()


def onnx_bytes(program: ExportedProgram) -> bytes:
    """The graph in the Open Neural Network Exchange format: no PyTorch is needed to run it."""
    exported = torch.onnx.export(
        program,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["pixels"],
        output_names=["logits"],
        verbose=False,
    )
    return exported.model_proto.SerializeToString()


def load_onnx(path: Path, best: Mapping[str, Any]) -> Runner:
    """Open the file with ONNX Runtime on as many threads as PyTorch uses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


@dataclass(frozen=True)
class Export:
    """An exported file, loaded again: ``run`` maps pixels (B, 3, S, S) to logits (B, K)."""

    name: str
    path: Path
    note: str  # what it takes to run the file
    run: Runner


def export_all(model: PixelModel, best: Mapping[str, Any], folder: Path) -> list[Export]:
    """Write ``model`` to ``folder`` in every format, each atomically, and load each file again."""
    example = torch.rand(2, 3, best["image_size"], best["image_size"])
    program = capture(model, example)
    formats = [
        ("state dict", "weights.pt", weights_bytes(model), load_weights,
         "PyTorch and the model's code"),
        ("TorchScript", "torchscript.pt", torchscript_bytes(model, example), load_torchscript,
         "PyTorch; deprecated"),
        ("torch.export", "model.pt2", export_bytes(program), load_export,
         "PyTorch"),
        ("ONNX", "model.onnx", onnx_bytes(program), load_onnx,
         "ONNX Runtime or another engine; no PyTorch"),
    ]  # fmt: skip
    exports = []
    for name, file, content, load, note in formats:
        write_atomic(folder / file, lambda path, content=content: path.write_bytes(content))
        exports.append(Export(name, folder / file, note, load(folder / file, best)))
    return exports


@torch.inference_mode()
def compare(model: PixelModel, exports: Sequence[Export], pixels: Tensor) -> list[dict[str, Any]]:
    """Each export against ``model`` on ``pixels`` (N, 3, S, S): largest difference of a logit,
    share of images with the same prediction, and the size of the file in bytes.
    """
    expected = model(pixels)
    rows = []
    for export in exports:
        logits = export.run(pixels)
        rows.append(
            {
                "name": export.name,
                "file": f"{export.path.parent.name}/{export.path.name}",
                "bytes": export.path.stat().st_size,
                "max_logit_difference": (logits - expected).abs().max().item(),
                "same_predictions": (logits.argmax(1) == expected.argmax(1)).double().mean().item(),
                "note": export.note,
            }
        )
    return rows


@torch.inference_mode()
def measure(
    exports: Sequence[Export],
    pixels: Tensor,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    seconds: float = 0.05,
    rounds: int = 3,
) -> dict[str, dict[int, float]]:
    """Median seconds of one call, by format and batch size, about ``seconds`` of each measured.

    The formats take turns ``rounds`` times, so that a busy moment of the machine hits all alike.
    """
    times = {export.name: {size: [] for size in batch_sizes} for export in exports}
    for size in batch_sizes:
        batch = pixels[torch.arange(size) % len(pixels)]
        for export in exports:
            export.run(batch)  # not timed: memory and threads warm up
        for turn in range(1, rounds + 1):
            for export in exports:
                taken = times[export.name][size]
                while sum(taken) < seconds * turn / rounds:
                    start = time.perf_counter()
                    export.run(batch)
                    taken.append(time.perf_counter() - start)
    return {name: {n: median(t) for n, t in sizes.items()} for name, sizes in times.items()}
