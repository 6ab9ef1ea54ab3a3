"""The files that a trained model is handed on as, each opened again by what it needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
import json
import os
from pathlib import Path
import warnings
import zipfile

import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.manifest import check, read_manifest
from lab_utils.core.records import Deployment, Metrics, read
from lab_utils.core.run import Run
from lab_utils.data.dataset import Normalization
from lab_utils.deployment import CHECKPOINT, FILES, INT8, ONNX, PROGRAM, SCRIPT, WEIGHTS
from lab_utils.deployment.pixel_model import About, PixelModel, fingerprint, load_pixel_model

Runner = Callable[[Tensor], Tensor]  # pixels (B, 3, S, S) float32 in 0..1 to logits (B, K)
ABOUT = "about.json"  # the name inside TorchScript and torch.export files


@dataclass(frozen=True)
class Opened:
    """A model out of a file: how to run it on the CPU, and what is known of it."""

    kind: str  # CHECKPOINT or a key of FILES
    path: Path
    about: About
    run: Runner


def open_model(path: str | os.PathLike) -> Opened:
    """The model of a run folder, of its ``best.pt`` or of any of FILES.

    Of a run folder it is the ONNX file, where there is one of these weights and ONNX Runtime is
    installed, else ``best.pt``. TorchScript and ``torch.export`` files may hold code: open none
    that you would not run. Raises LabError where the file is missing, damaged or something else.
    """
    path = Path(path)
    if path.is_dir():
        return _open_run(path)
    if not path.is_file():
        raise LabError(f"There is no file {path}; give a run folder or one of its exports.")
    try:
        openers = {".onnx": _open_onnx, ".safetensors": _open_weights, ".pt2": _open_program}
        return openers.get(path.suffix, _open_pt)(path)
    except LabError:
        raise
    except Exception as error:  # each format has its own kinds for a damaged file
        kind = type(error).__name__
        mend = "run 06_deployment again, or give another export of the lab"
        raise LabError(f"{path} cannot be opened as a model ({kind}); {mend}.") from error


def _open_run(folder: Path) -> Opened:
    checkpoint, export = folder / "checkpoints/best.pt", folder / "exports" / FILES[ONNX]
    if checkpoint.is_file():
        _check(folder, "04_training", checkpoint)
    opened = _or_none(folder, export) if export.is_file() else None
    # A training after the export leaves a file of other weights behind.
    if opened and (not checkpoint.is_file() or opened.about.checkpoint == fingerprint(checkpoint)):
        return opened
    if not checkpoint.is_file():
        raise LabError(f"{folder} holds no trained model; give a run folder, or run 04_training.")
    try:  # never as TorchScript, which holds code, whatever the file is: a run may be a stranger's
        return _open_checkpoint(checkpoint)
    except LabError:
        raise
    except Exception as error:
        raise LabError(f"{checkpoint} is damaged; run 04_training again.") from error


def _or_none(folder: Path, export: Path) -> Opened | None:
    try:
        _check(folder, "06_deployment", export)
        return open_model(export)
    except LabError:  # damaged, or no ONNX Runtime here
        return None


def _check(folder: Path, step: str, path: Path) -> None:
    """LabError where ``path`` is not as ``step`` left it: of another run, or with a flipped bit."""
    name = path.relative_to(folder).as_posix()
    noted = read_manifest(folder).get(step, {}).get("sha256", {})
    check(folder, step, {name: noted[name]} if name in noted else {})


def _open_pt(path: Path) -> Opened:
    """``best.pt`` or TorchScript: both are zip files, and only the second holds code."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name for name in archive.namelist()):
                return _open_script(path)
    return _open_checkpoint(path)


def _open_checkpoint(path: Path) -> Opened:
    """``best.pt``: tensors and plain values alone."""
    model, about = load_pixel_model(path)
    folder = path.parent.parent
    if about.run:
        about = _as_measured(about, Run.open(folder))
    model.temperature.fill_(about.temperature)
    return Opened(CHECKPOINT, path, about, model)


def _as_measured(about: About, run: Run) -> About:
    """With the temperature and the threshold that 06 chose; with the temperature of 05 before."""
    if run.done("06_deployment"):
        found = _vouched(run, Deployment)
        return replace(about, temperature=found.temperature, threshold=found.threshold)
    if run.done("05_evaluation") and run.settings.tta == "none":  # else it is of several views
        return replace(about, temperature=_vouched(run, Metrics).temperature)
    return about


def _vouched(run: Run, kind: type[Deployment | Metrics]) -> Deployment | Metrics:
    """That record, with a temperature; LabError where it is not as its step left it."""
    _check(run.path, kind.made_by, run.file(kind.file()))
    return read(run, kind, "temperature")


def _open_weights(path: Path) -> Opened:
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, "pt") as file:
        about = About.of_texts(file.metadata())
    model = PixelModel(about.network(), Normalization(about.mean, about.std))
    model.load_state_dict(load_file(path))
    return Opened(WEIGHTS, path, about, model.eval())


def _open_script(path: Path) -> Opened:
    _check_zip(path)
    extra = {ABOUT: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that TorchScript is deprecated
        run = torch.jit.load(path, map_location="cpu", _extra_files=extra)
    return Opened(SCRIPT, path, About.of_texts(json.loads(extra[ABOUT])), run)


def _check_zip(path: Path) -> None:
    """BadZipFile for a flipped bit: torch does not look at the checksums that a zip file has."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)


def _open_program(path: Path) -> Opened:
    _check_zip(path)
    extra = {ABOUT: ""}
    run = torch.export.load(path, extra_files=extra).module()
    return Opened(PROGRAM, path, About.of_texts(json.loads(extra[ABOUT])), run)


def _open_onnx(path: Path) -> Opened:
    """On as many threads as PyTorch uses."""
    # Without it the engine reports its use to its maker; it is read when the engine is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError:
        raise LabError("onnxruntime is not installed; `pip install onnxruntime`.") from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    texts = session.get_modelmeta().custom_metadata_map
    kind = INT8 if "quantized" in texts else ONNX

    def run(pixels: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])

    return Opened(kind, path, About.of_texts(texts), run)
