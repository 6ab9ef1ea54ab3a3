"""Notebook 01: what this machine has, which device and precision suit it, and how fast it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
import time
from typing import Any

import torch

from lab_utils import LabError
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings

# Where to compute, the best first, and why.
_DEVICES = {
    "cuda": "a CUDA GPU is present",
    "mps": "an Apple GPU is present",
    "cpu": "no GPU that PyTorch can use was found",
}


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
        lower = self.dtype == torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=lower)


def choose(settings: Settings) -> Machine:
    """Device and precision for ``settings``: what it asks for, else what the hardware is best at.

    Raises LabError where the settings name a device or precision this machine lacks, or ``compile``
    without CUDA.
    """
    name, asked = settings.device, "asked for by the settings"
    if name == "auto":
        name = next(name for name in _DEVICES if _works(name))
    elif not _works(name):
        raise LabError(f"device={name} is not on this machine; use device=auto.")
    if settings.compile and name != "cuda":
        # On a CPU it needs a C++ compiler and was slower; CUDA graphs are for CUDA alone.
        raise LabError(f"compile=true needs a CUDA GPU, and this run uses {name}; leave it out.")
    found, why = _bfloat16_hardware(name)
    if settings.precision == "bfloat16" and not found:
        raise LabError(f"precision=bfloat16: {why}; use precision=auto or float32.")
    dtype = torch.bfloat16 if found and settings.precision != "float32" else torch.float32
    return Machine(
        device=torch.device(name),
        device_reason=_DEVICES[name] if settings.device == "auto" else asked,
        dtype=dtype,
        precision_reason=why if settings.precision == "auto" else asked,
    )


def _works(device: str) -> bool:
    """Whether a first operation on ``device`` succeeds; virtual Macs list a GPU without memory."""
    try:
        return device == "cpu" or torch.ones(2, device=device).sum().item() == 2
    except (RuntimeError, AssertionError):  # the second where torch was built without CUDA
        return False


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
    found = any(flags.get(flag) for flag in ("amx_bf16", "avx512_bf16"))
    return found, f"the CPU {'has' if found else 'lacks'} bfloat16 hardware (AVX512_BF16, AMX_BF16)"


def on_cpu(settings: Settings, reason: str) -> Machine:
    """The CPU in the precision that suits it, for ``reason``, whatever else is on the machine."""
    precision = "float32" if settings.precision == "float32" else "auto"
    changes = {"device": "cpu", "precision": precision, "compile": False}
    return replace(choose(settings.model_copy(update=changes)), device_reason=reason)


def machine_for(run: Run) -> Machine:
    """``choose`` for a run, but the CPU where its 01_setup found that device computing wrongly."""
    from lab_utils.core.records import Hardware, read  # here: notebook 04 loads little

    machine = choose(run.settings)
    found = read(run, Hardware) if run.done("01_setup") else None
    if found and found.rejected_device == machine.device.type:
        return on_cpu(run.settings, found.device_reason)
    return machine


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done what it was given, so that a clock can be read."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def seconds_of(action: Callable[[], Any], machine: Machine) -> float:
    """Seconds of one call of ``action()``, until the device has done it."""
    start = time.perf_counter()
    action()
    synchronize(machine.device)
    return time.perf_counter() - start


def seconds_of_calls(action: Callable[[], Any], machine: Machine, budget: float) -> list[float]:
    """``seconds_of`` each of the calls within ``budget`` seconds, three at the least."""
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < budget:
        seconds.append(seconds_of(action, machine))
    return seconds


def median_seconds(action: Callable[[], Any], machine: Machine, budget: float = 1.0) -> float:
    """Median seconds of ``action()``, called for ``budget`` seconds, and 3 times at the least.

    One call before them is not counted: it allocates memory and chooses algorithms.
    """
    seconds_of(action, machine)
    return median(seconds_of_calls(action, machine, budget))


def matmul_gflops(machine: Machine, dtype: torch.dtype, size: int = 2048) -> float:
    """Median rate of a square matrix product in GFLOP/s (2 size^3 operations each)."""
    a = torch.randn(size, size, device=machine.device).to(dtype)
    return 2 * size**3 / median_seconds(lambda: a @ a, machine, budget=0.15) / 1e9
