"""Notebook 01: what this machine has, which device and precision suit it, and how fast it is."""

import copy
from importlib.metadata import version
import os
from pathlib import Path
import platform
import shutil
import subprocess
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from lab_utils.core.params import project_root
from lab_utils.core.settings import Settings
from lab_utils.setup.hardware import Machine

GB = 1e9


# Float32 gives about 1e-6; tensor cores that round to TF32 about 1e-3; a wrong result, near 1.
GRADIENT_TOLERANCE = 0.02


def gradient_difference(
    machine: Machine, model: nn.Module, inputs: Tensor, targets: Tensor
) -> float:
    """How far one float32 gradient on the device is from the same in float64 on the CPU.

    The length of the difference over the length of the gradient; for the loss likewise, and the
    larger of the two is returned. ``inputs`` is (B, C, H, W), ``targets`` (B,) int64; ``model``
    stays as it is. A wrong backend (it has happened on MPS) shows here before it spoils a training.
    """
    results = []
    for device, dtype in (("cpu", torch.float64), (machine.device, torch.float32)):
        copied = copy.deepcopy(model).eval().to(device, dtype, memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(copied(inputs.to(device, dtype)), targets.to(device))
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in copied.parameters() if p.requires_grad])
        results.append([value.detach().cpu().double() for value in (loss, gradient)])
    differences = [
        (found - exact).norm() / exact.norm() for exact, found in zip(*results, strict=True)
    ]
    return torch.stack(differences).max().item()  # unlike Python's max it keeps NaN


def describe() -> dict[str, Any]:
    """CPU, cores, memory, disk, GPU and software of this machine, as plain values (GB = 10^9 B)."""
    gpu = gpu_gb = None
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu, gpu_gb = properties.name, properties.total_memory / GB
    elif torch.backends.mps.is_available():
        gpu = "Apple GPU (shares the main memory)"
    packages = "torch torchvision numpy matplotlib seaborn scikit-learn jupyterlab nbval papermill"
    return {
        "os": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ram_gb": psutil.virtual_memory().total / GB,
        "disk_free_gb": shutil.disk_usage(project_root()).free / GB,
        "gpu": gpu,
        "gpu_memory_gb": gpu_gb,
        "software": {name: version(name) for name in packages.split()},
    }


def _cpu_name() -> str:
    """The processor's marketing name; each system keeps it elsewhere."""
    try:
        if platform.system() == "Linux":
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            return next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
    except (OSError, StopIteration, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine()


def check_requirements(found: dict[str, Any]) -> list[dict[str, str]]:
    """The lab's minimum and recommended hardware against ``describe()``: pass, warn or fail."""
    cuda = found["gpu_memory_gb"] or 0
    rows = [
        ("CPU cores", found["cores"], 2, 4, ""),
        ("Memory", found["ram_gb"], 4, 8, " GB"),
        ("Free disk", found["disk_free_gb"], 2, 2, " GB"),
        ("CUDA GPU memory", cuda, 0, 4, " GB"),
    ]
    return [
        {
            "item": item,
            "minimum": f"{minimum}{unit}" if minimum else "none",
            "recommended": f"{recommended}{unit}",
            "found": f"{value:.0f}{unit}" if value else "none",
            # A machine sold as 4 GB reports a little less than 4 x 10^9 bytes to programs.
            "status": "pass" if value >= 0.9 * recommended else
                      "warn" if value >= 0.9 * minimum else "fail",
        }
        for item, value, minimum, recommended, unit in rows
    ]  # fmt: skip


def step_memory_mb(model: nn.Module, settings: Settings, machine: Machine, size: int) -> float:
    """Estimated memory of one training step in MB (10^6 bytes), beyond the data set.

    What autograd keeps for the backward pass is counted on two and on four images; the difference
    scales with the batch, the rest (bfloat16 copies of the weights) does not. Parameters count four
    times: weights, gradients, two optimiser moments; five with a running average of the weights.
    The model comes back as it was.
    """
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    device = next(model.parameters()).device

    def kept_bytes(images: int) -> int:
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        inputs = torch.zeros(images, 3, size, size, device=device)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), machine.autocast():
            output = model(inputs)  # alive until counted, so that no storage is used twice
        total = sum(b for key, b in kept.items() if key not in parameters)
        del output
        return total

    state = {key: value.clone() for key, value in model.state_dict().items()}
    two, four = kept_bytes(2), kept_bytes(4)
    model.load_state_dict(state)  # the running statistics of BatchNorm have moved
    per_image = (four - two) / 2
    copies = 5 if settings.ema_decay else 4
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return (per_image * settings.batch_size + two - 2 * per_image + copies * weights) / 1e6
