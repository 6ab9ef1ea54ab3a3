"""What this machine has, whether that is enough, and whether its device computes correctly."""

import copy
from dataclasses import dataclass
import os
from pathlib import Path
import platform
import re
import subprocess

import psutil
import torch
from torch import Tensor, nn

from lab_utils.core.params import project_root
from lab_utils.core.process import versions
from lab_utils.core.settings import Settings
from lab_utils.setup import hardware
from lab_utils.setup.hardware import Machine

# Float32 gives about 1e-6; tensor cores that round to TF32 about 1e-3; a wrong result, near 1.
GRADIENT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Computer:
    """Hardware and software of this machine; sizes in GB (10^9 bytes), ``gpu`` None for none."""

    os: str
    architecture: str
    python: str
    cpu: str
    cores: int
    threads: int
    ram_gb: float
    disk_free_gb: float
    gpu: str | None
    gpu_memory_gb: float | None
    software: dict[str, str]


def describe() -> Computer:
    """This machine."""
    gpu = gpu_gb = None
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        gpu, gpu_gb = found.name, found.total_memory / 1e9
    elif torch.backends.mps.is_available():
        gpu = "Apple GPU (shares the main memory)"
    return Computer(
        os=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        python=platform.python_version(),
        cpu=cpu_name(),
        cores=psutil.cpu_count(logical=False) or os.cpu_count(),
        threads=torch.get_num_threads(),
        ram_gb=psutil.virtual_memory().total / 1e9,
        disk_free_gb=psutil.disk_usage(str(project_root())).free / 1e9,
        gpu=gpu,
        gpu_memory_gb=gpu_gb,
        software=versions()["versions"],
    )


def cpu_name() -> str:
    """The processor's marketing name; each system keeps it elsewhere."""
    try:
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.check_output(command, text=True).strip()
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return re.search(r"model name\s*:\s*(.*\S)", text)[1]
    except (OSError, TypeError, subprocess.SubprocessError):  # Windows, or Linux on some ARM
        return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Requirement:
    """One thing a machine needs, in words; ``status`` is pass, warn or fail."""

    item: str
    minimum: str
    recommended: str
    found: str
    status: str


def check_requirements(computer: Computer) -> list[Requirement]:
    """What ``computer`` has against the lab's minimum and recommended hardware."""
    requirements = []
    for item, unit, *amounts in (
        ("CPU cores", "", 2, 4, computer.cores),
        ("Memory", " GB", 4, 8, computer.ram_gb),
        ("Free disk", " GB", 2, 2, computer.disk_free_gb),
        ("CUDA GPU memory", " GB", 0, 4, computer.gpu_memory_gb or 0),
    ):
        # A machine sold as 4 GB reports a little less than 4 x 10^9 bytes to programs.
        minimum, recommended = (amounts[2] >= 0.9 * needed for needed in amounts[:2])
        words = [f"{amount:.0f}{unit}" if amount else "none" for amount in amounts]
        status = "pass" if recommended else "warn" if minimum else "fail"
        requirements.append(Requirement(item, *words, status))
    return requirements


def matmul_rates(machine: Machine) -> dict[str, float | None]:
    """Measured GFLOP/s of a matrix product by precision; None where the device never uses it."""
    rates = {"float32": hardware.matmul_gflops(machine, torch.float32), "bfloat16": None}
    if machine.device.type != "mps":
        side = 2048 if machine.dtype == torch.bfloat16 else 512  # smaller, as it may be emulated
        rates["bfloat16"] = hardware.matmul_gflops(machine, torch.bfloat16, side)
    return rates


def gradient_difference(
    machine: Machine, model: nn.Module, inputs: Tensor, targets: Tensor
) -> float:
    """How far one float32 gradient on the device is from the same in float64 on the CPU.

    The length of the difference over the length of the gradient; for the loss likewise, and the
    larger of the two is returned. ``inputs`` is (B, C, H, W), ``targets`` (B,) int64; ``model``
    stays as it is. A wrong backend (it has happened on MPS) shows here before it spoils a training.
    """

    def loss_and_gradient(device: torch.device | str, dtype: torch.dtype) -> list[Tensor]:
        copied = copy.deepcopy(model).eval().to(device, dtype, memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(copied(inputs.to(device, dtype)), targets.to(device))
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in copied.parameters() if p.requires_grad])
        return [value.detach().cpu().double() for value in (loss, gradient)]

    exact = loss_and_gradient("cpu", torch.float64)
    found = loss_and_gradient(machine.device, torch.float32)
    differences = [(b - a).norm() / a.norm() for a, b in zip(exact, found, strict=True)]
    return torch.stack(differences).max().item()  # unlike Python's max it keeps NaN


def trusted(machine: Machine, settings: Settings, difference: float) -> Machine:
    """``machine``, or the CPU where its gradient is further off than rounding explains."""
    if difference <= GRADIENT_TOLERANCE:  # not so for NaN
        return machine
    why = f"the gradients of {machine.device.type} differ from the CPU's by {difference:.1%}"
    return hardware.on_cpu(settings, why)
