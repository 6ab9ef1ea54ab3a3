"""Run exported files as a stranger would: a program of its own, which knows nothing of the lab.

    python -I fresh.py JOB.json

The job names the images (uint8 (N, 3, S, S), .npy) and the files by format; the logits of each are
written to the working folder. Nothing here imports lab_utils, and for ONNX files nothing imports
PyTorch: the last line of the output tells which of the two were loaded after all.
"""

from collections.abc import Callable
import json
import os
from pathlib import Path
import sys
from typing import Any

import numpy as np

BATCH = 500


def onnx(path: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """An ONNX file, in float32 or int8."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def torchscript(path: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """A TorchScript file."""
    return in_torch(load(path).eval(), threads)


def program(path: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """A torch.export file."""
    import torch

    return in_torch(torch.export.load(path).module(), threads)


def check_weights(path: str, script: str) -> None:
    """A safetensors file holds no graph: its tensors must be those of TorchScript, bit by bit."""
    from safetensors.torch import load_file

    tensors, others = load_file(path), load(script).state_dict()
    different = [name for name in others if not others[name].equal(tensors.get(name))]
    if different or tensors.keys() != others.keys():
        raise SystemExit(f"the tensors of safetensors and TorchScript differ: {different}")


def load(path: str) -> Any:
    """A TorchScript file, without the warning that the format is deprecated."""
    import warnings

    import torch

    warnings.simplefilter("ignore")
    return torch.jit.load(path)


def in_torch(module: Any, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """A module of PyTorch as a function of arrays."""
    import torch

    torch.set_num_threads(threads)

    def run(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(pixels)).numpy()

    return run


OPEN = {"ONNX": onnx, "int8 ONNX": onnx, "TorchScript": torchscript, "torch.export": program}


def main(job: dict) -> None:
    """Write logits (N, K) float32 for each file, as ``<format>.npy``."""
    images, files = np.load(job["images"], mmap_mode="r"), job["files"]
    if "safetensors" in files:
        check_weights(files.pop("safetensors"), files["TorchScript"])
    for kind, path in files.items():
        run = OPEN[kind](path, job["threads"])
        parts = [
            run(images[i : i + BATCH].astype(np.float32) / np.float32(255))
            for i in range(0, len(images), BATCH)
        ]
        np.save(f"{kind}.npy", np.concatenate(parts))
    print(json.dumps([name for name in ("lab_utils", "torch") if name in sys.modules]))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
