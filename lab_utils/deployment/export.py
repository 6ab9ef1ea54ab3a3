"""The trained model as files that other programs run, on the CPU."""

from collections.abc import Callable
from io import BytesIO
import json
from pathlib import Path
import warnings

from safetensors.torch import save
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lab_utils.core.files import write_atomic
from lab_utils.deployment import formats
from lab_utils.deployment.formats import ABOUT, FILES
from lab_utils.deployment.pixel_model import About, PixelModel


def capture(model: PixelModel, example: Tensor) -> ExportedProgram:
    """The graph of the whole model for any batch size; the example only shows the shapes."""
    program = torch.export.export(model, (example,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would tell the paths of this machine
    return program


def onnx_bytes(program: ExportedProgram, about: About) -> bytes:
    """The graph in the Open Neural Network Exchange format: no PyTorch is needed to run it."""
    exported = torch.onnx.export(
        program, dynamo=True, dynamic_shapes=({0: Dim("batch")},), input_names=["pixels"],
        output_names=["logits"], verbose=False,
    )  # fmt: skip
    exported.model.metadata_props.update(about.texts())
    return exported.model_proto.SerializeToString()


def export_all(model: PixelModel, about: About, folder: Path) -> dict[str, Path]:
    """Write ``model`` to ``folder`` in every float format, each atomically; the files by format.

    Each file carries ``about``.
    """
    example = torch.rand(2, 3, about.image_size, about.image_size)
    program, texts = capture(model, example), about.texts()
    extra = {ABOUT: json.dumps(texts)}

    def script() -> bytes:
        traced, file = torch.jit.trace(model, example, check_trace=False), BytesIO()
        torch.jit.save(traced, file, _extra_files=extra)
        return file.getvalue()

    def exported() -> bytes:
        file = BytesIO()
        torch.export.save(program, file, extra_files=extra)
        return file.getvalue()

    writers: dict[str, Callable[[], bytes]] = {
        formats.WEIGHTS: lambda: save(model.state_dict(), texts),
        formats.SCRIPT: script,
        formats.PROGRAM: exported,
        formats.ONNX: lambda: onnx_bytes(program, about),
    }
    paths = {kind: folder / FILES[kind] for kind in writers}
    for kind, content in writers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that TorchScript is deprecated
            data = content()
        write_atomic(paths[kind], lambda part, data=data: part.write_bytes(data))
    return paths
