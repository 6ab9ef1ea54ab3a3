"""Notebook 01: what this machine has, which device and precision suit it, and how fast it is."""

import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from lab_utils import LabError
from lab_utils.settings import Settings, project_root

GB = 1e9


@dataclass(frozen=True)
class Machine:
    """The device and precision a run uses, and why."""

    device: torch.device
    device_reason: str
    dtype: torch.dtype  # of the matrix products; weights and losses stay float32
    precision_reason: str

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> torch.autocast:
        """The context that runs matrix products in ``dtype``; does nothing for float32."""
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )


def choose(settings: Settings) -> Machine:
    """Device and precision for ``settings``: what it asks for, else what the hardware is best at.

    Raises LabError where the settings name a device or precision this machine lacks.
    """
    has = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if settings.device == "auto":
        name = next(name for name in has if has[name])
        reason = {
            "cuda": "a CUDA GPU is present",
            "mps": "an Apple GPU is present",
            "cpu": "no GPU that PyTorch can use was found",
        }[name]
    elif has[settings.device]:
        name, reason = settings.device, "asked for by the settings"
    else:
        raise LabError(f"device={settings.device} is not on this machine; use device=auto.")

    found, why = _bfloat16_hardware(name)
    if settings.precision == "bfloat16" and not found:
        raise LabError(f"precision=bfloat16: {why}; use precision=auto or float32.")
    if settings.precision == "auto":
        dtype = torch.bfloat16 if found else torch.float32
    else:
        dtype, why = getattr(torch, settings.precision), "asked for by the settings"
    return Machine(torch.device(name), reason, dtype, why)


def _bfloat16_hardware(device: str) -> tuple[bool, str]:
    """Whether ``device`` multiplies bfloat16 in hardware, and how that is known.

    Emulated bfloat16 is slower than float32, so only hardware counts.
    """
    if device == "cuda":
        found = torch.cuda.get_device_capability() >= (8, 0)
        return found, f"the GPU {'has' if found else 'lacks'} bfloat16 tensor cores"
    if device == "mps":
        return False, "bfloat16 autocast is not used on Apple GPUs"
    flags = torch.cpu.get_capabilities()
    for flag in ("amx_bf16", "avx512_bf16"):
        if flags.get(flag):
            return True, f"the CPU multiplies bfloat16 in hardware ({flag.upper()})"
    return False, "the CPU has no bfloat16 hardware (AVX512_BF16 or AMX_BF16)"


def agrees_with_cpu(machine: Machine, model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Largest difference of one float32 loss and gradient between the device and the CPU.

    ``inputs`` is (B, C, H, W) float32, ``targets`` (B,) int64; the model comes back as it was.
    A wrong backend (it has happened on MPS) shows here before it spoils a training.
    """
    results = []
    training, home = model.training, next(model.parameters()).device
    model.eval()
    for device in ("cpu", machine.device):
        model.to(device).zero_grad()
        loss = nn.functional.cross_entropy(model(inputs.to(device)), targets.to(device))
        loss.backward()
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        results.append(torch.cat([loss.detach().view(1), *grads]).cpu())
    model.to(home).train(training).zero_grad()
    return (results[0] - results[1]).abs().max().item()


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


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done what it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def matmul_gflops(
    machine: Machine, dtype: torch.dtype, size: int = 2048, repeats: int = 5
) -> float:
    """Median rate of a square matrix product in GFLOP/s (2 size^3 operations each)."""
    a = torch.randn(size, size, device=machine.device).to(dtype)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        a @ a
        synchronize(machine.device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / median(seconds[1:]) / 1e9
