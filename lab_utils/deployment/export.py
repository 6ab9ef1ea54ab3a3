"""The trained model as files that other programs run, on the CPU."""

from dataclasses import dataclass
from io import BytesIO
import json
from pathlib import Path
import warnings
import zipfile

from safetensors.torch import save
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.onnx import ONNXProgram

from lab_utils.core.files import write_atomic
from lab_utils.deployment import FILES, ONNX, PROGRAM, SCRIPT, WEIGHTS
from lab_utils.deployment.formats import ABOUT
from lab_utils.deployment.pixel_model import About, PixelModel

BATCH = ({0: Dim("batch")},)  # the first dimension of the input may have any size


@dataclass(frozen=True)
class Converted:
    """A model in every form that has a file format."""

    tensors: dict[str, Tensor]
    script: torch.jit.ScriptModule
    program: ExportedProgram
    onnx: ONNXProgram


def capture(model: PixelModel, example: Tensor) -> ExportedProgram:
    """The graph of the whole model for any batch size; the example only shows the shapes."""
    program = torch.export.export(model, (example,), dynamic_shapes=BATCH)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would tell the paths of this machine
    return program


def trace(model: PixelModel, example: Tensor) -> torch.jit.ScriptModule:
    """``torch.jit.trace``, without its warning that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(model, example, check_trace=False)


def write(converted: Converted, about: About, folder: Path) -> dict[str, Path]:
    """Write each form to its file in ``folder``, atomically, with ``about``; files by format."""
    texts = about.texts()
    extra, script, program = {ABOUT: json.dumps(texts)}, BytesIO(), BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that TorchScript is deprecated
        torch.jit.save(converted.script, script, _extra_files=extra)
    torch.export.save(converted.program, program, extra_files=extra)
    converted.onnx.model.metadata_props.update(texts)
    contents = {
        WEIGHTS: save(converted.tensors, texts),
        SCRIPT: _without_sources(script),
        PROGRAM: program.getvalue(),
        ONNX: converted.onnx.model_proto.SerializeToString(),
    }
    paths = {kind: folder / FILES[kind] for kind in contents}
    for kind, content in contents.items():
        write_atomic(paths[kind], lambda part, content=content: part.write_bytes(content))
    return paths


def _without_sources(script: BytesIO) -> bytes:
    """A TorchScript file without the records that tell where its source lay on this machine."""
    kept = BytesIO()
    with zipfile.ZipFile(script) as source, zipfile.ZipFile(kept, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(entry, source.read(entry))
    return kept.getvalue()
