"""The trained model as files that other programs run, on the CPU in float32; how fast each is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
import os
from pathlib import Path
from statistics import median
from timeit import timeit
from typing import Any
import warnings

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lab_utils.core.files import write_atomic
from lab_utils.deployment._old_engine import PixelModel
from lab_utils.training.checkpoints import Best

Runner = Callable[[Tensor], Tensor]  # pixels (B, 3, S, S) float32 in 0..1 to logits (B, K)


@dataclass(frozen=True)
class Export:
    """An exported file, loaded again."""

    name: str
    path: Path
    note: str  # what it takes to run the file
    run: Runner


@dataclass(frozen=True)
class Format:
    """A row of ``deployment.json``: an export beside the original, and how fast it is."""

    name: str
    file: str  # with its folder
    bytes: int
    max_logit_difference: float  # the largest of all images and classes
    same_predictions: float  # share of the images
    note: str
    latency_ms: float | None = None  # of one image, in milliseconds; None: not measured yet
    throughput: dict[int, float] = field(default_factory=dict)  # images per second by batch size


def capture(model: PixelModel, example: Tensor) -> ExportedProgram:
    """The graph of the whole model for any batch size; the example only shows the shapes."""
    program = torch.export.export(model, (example,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would tell the paths of this machine
    return program


def onnx_bytes(program: ExportedProgram) -> bytes:
    """The graph in the Open Neural Network Exchange format: no PyTorch is needed to run it."""
    exported = torch.onnx.export(
        program, dynamo=True, dynamic_shapes=({0: Dim("batch")},), input_names=["pixels"],
        output_names=["logits"], verbose=False,
    )  # fmt: skip
    return exported.model_proto.SerializeToString()


def load_onnx(path: Path) -> Runner:
    """Open the file with ONNX Runtime on as many threads as PyTorch uses."""
    # Without it the engine reports its use to its maker; it is read when the engine is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def export_all(model: PixelModel, best: Best, folder: Path) -> list[Export]:
    """Write ``model`` to ``folder`` in every format, each atomically, and load each file again."""
    example = torch.rand(2, 3, best.image_size, best.image_size)
    program = capture(model, example)

    def load_weights(path: Path) -> Runner:
        runner = PixelModel(best.build(), best.normalization)
        runner.load_state_dict(torch.load(path, weights_only=True))
        return runner.eval()

    formats = [
        ("state dict", "weights.pt", "PyTorch and the model's code",
         lambda file: torch.save(model.state_dict(), file), load_weights),
        ("TorchScript", "torchscript.pt", "PyTorch; deprecated",
         lambda file: torch.jit.save(torch.jit.trace(model, example, check_trace=False), file),
         torch.jit.load),
        ("torch.export", "model.pt2", "PyTorch",
         lambda file: torch.export.save(program, file),
         lambda path: torch.export.load(path).module()),
        ("ONNX", "model.onnx", "ONNX Runtime or another engine; no PyTorch",
         lambda file: file.write(onnx_bytes(program)), load_onnx),
    ]  # fmt: skip
    exports = []
    for name, file, note, save, load in formats:
        path, content = folder / file, BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that TorchScript is deprecated
            save(content)
            write_atomic(path, lambda part, content=content: part.write_bytes(content.getvalue()))
            exports.append(Export(name, path, note, load(path)))
    return exports


@torch.inference_mode()
def compare(model: PixelModel, exports: Sequence[Export], pixels: Tensor) -> list[Format]:
    """Each export against ``model`` on ``pixels`` (N, 3, S, S)."""
    expected = model(pixels)
    formats = []
    for export in exports:
        logits, path = export.run(pixels), export.path
        difference = (logits - expected).abs().max().item()
        same = (logits.argmax(1) == expected.argmax(1)).double().mean().item()
        file, size = f"{path.parent.name}/{path.name}", path.stat().st_size
        formats.append(Format(export.name, file, size, difference, same, export.note))
    return formats


@torch.inference_mode()
def measure(
    exports: Sequence[Export],
    pixels: Tensor,
    batch_sizes: Sequence[int] = (1, 8, 64, 256),
    seconds: float = 0.05,
    rounds: int = 3,
) -> dict[str, dict[int, float]]:
    """Median seconds of one call, by format and batch size, about ``seconds`` of each measured.

    The formats take turns ``rounds`` times, so that a busy moment of the machine hits all alike.
    """
    times = {export.name: {size: [] for size in batch_sizes} for export in exports}
    for size in batch_sizes:
        batch = pixels[torch.arange(size) % len(pixels)]
        for export in list(exports) * rounds:
            call, taken = partial(export.run, batch), []
            call()  # not timed: memory and threads warm up
            while sum(taken) < seconds / rounds:
                taken.append(timeit(call, number=1))
            times[export.name][size] += taken
    return {name: {n: median(t) for n, t in sizes.items()} for name, sizes in times.items()}


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 06 as a Markdown list, from what it recorded."""
    formats, images = record["formats"], record["images_compared"]
    exact = sum(row.same_predictions == 1 for row in formats)
    worst = max(row.max_logit_difference for row in formats)
    quickest = min(formats, key=lambda row: row.latency_ms)
    rate, size, busiest = max(
        (rate, size, row.name) for row in formats for size, rate in row.throughput.items()
    )
    megabytes = [row.bytes / 1e6 for row in formats]
    return f"""\
- {exact} of {len(formats)} exported files give the same prediction for all {images} images; the
  largest difference of a logit is {worst:.2g}.
- One image takes {quickest.latency_ms:.2f} ms with {quickest.name}, {formats[0].latency_ms:.2f} ms
  with PyTorch.
- Highest throughput: {rate:,.0f} images/s with {busiest} in batches of {size}.
- The files are {min(megabytes):.2f} to {max(megabytes):.2f} MB."""
