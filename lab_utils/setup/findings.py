"""Notebook 01 in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.core.show import Notice
from lab_utils.setup.check import GRADIENT_TOLERANCE, Computer, Requirement
from lab_utils.setup.hardware import Machine
from lab_utils.setup.threads import Threads, busy_sentence


def opened(run: Run) -> Notice:
    """Which run this is, and what it will train."""
    s = run.settings
    return Notice(f"Run {run.name!r}: {s.model}, {s.epochs} epochs, seed {s.seed}.")


def picture(pixels: Tensor) -> str:
    """How many numbers a picture (3, H, W) uint8 is, and its brightest and darkest pixel."""
    brightness = pixels.sum(0)
    width = brightness.shape[1]
    words = []
    for kind, place in (("brightest", brightness.argmax()), ("darkest", brightness.argmin())):
        row, column = divmod(int(place), width)
        values = pixels[:, row, column].tolist()
        words.append(f"the {kind} pixel, in row {row}, column {column}, holds {values}")
    return (
        f"{' x '.join(map(str, pixels.shape))} = {pixels.numel():,} bytes: {' and '.join(words)}."
    )


def descent(cleared: Sequence[float], forgotten: Sequence[float]) -> str:
    """Where both descents end, and the largest loss in the second half of the wrong one."""
    half = len(forgotten) // 2
    return (
        f"Cleared, the loss falls from {cleared[0]:.2g} to {cleared[-1]:.1g} in {len(cleared)} "
        f"steps. With `zero_grad()` forgotten it still reaches {max(forgotten[half:]):.2g} in the "
        f"second half: each step obeys all gradients so far, like a ball that rolls through the "
        "valley without friction."
    )


def computer(found: Computer) -> str:
    """This machine and its software in two sentences."""
    software = ", ".join(f"{name} {number}" for name, number in found.software.items())
    return (
        f"{found.cpu} with {found.cores} cores, {found.os} ({found.architecture}); GPU: "
        f"{found.gpu or 'none that PyTorch can use'}. Software: python {found.python}, {software}."
    )


def requirements(rows: Sequence[Requirement]) -> Notice:
    """What the words of the table mean; loud where something is below the minimum."""
    failed = ", ".join(row.item for row in rows if row.status == "fail")
    return Notice(
        "pass: as recommended; warn: enough, but slower; fail: below the minimum.",
        f"Below the minimum: {failed}. Training may be very slow or stop." if failed else "",
    )


def choice(machine: Machine, rates: Mapping[str, float | None]) -> str:
    """Device and precision with their reasons, and the measured rates of a matrix product."""
    words = [f"{name} at {rate:,.0f} GFLOP/s" for name, rate in rates.items() if rate]
    ratio = ""
    if rates["bfloat16"]:
        ratio = f", {rates['bfloat16'] / rates['float32']:.2g} times the rate of float32"
    return (
        f"Device: **{machine.device.type}**, because {machine.device_reason}. Precision: "
        f"**{machine.precision}**, because {machine.precision_reason}. Measured: "
        f"{' and '.join(words)}{ratio}."
    )


def gradient(checked: Machine, difference: float) -> Notice:
    """How far the gradient of the device that was checked is from the reference; loud if wrong."""
    name = checked.device.type
    wrong = f"{name} computes wrong gradients: this run uses the CPU."
    return Notice(
        f"One gradient on {name} differs from the reference by {difference:.1e} of its length. "
        "Rounding of float32 gives about 1e-6, that of TF32 about 1e-3; more than "
        f"{GRADIENT_TOLERANCE} is an error.",
        "" if difference <= GRADIENT_TOLERANCE else wrong,
    )


def verdict(checked: Machine, machine: Machine, difference: float) -> dict[str, Any]:
    """What the run remembers of the device: that ``checked``, and the ``machine`` it now uses."""
    return {
        "gradient_difference": difference,
        "rejected_device": None if machine is checked else checked.device.type,
        "device": machine.device.type,
        "device_reason": machine.device_reason,
        "precision": machine.precision,
        "precision_reason": machine.precision_reason,
    }


def measured(
    settings: Settings, seconds: float, chosen: Threads, needed_mb: float
) -> dict[str, Any]:
    """What the run remembers of a training step: its time, and the memory (MB) that it needs."""
    return {
        "threads": chosen.count,
        "threads_reason": chosen.reason,
        "step_ms": 1000 * seconds,
        "images_per_second": settings.batch_size / seconds,
        "estimated_step_memory_mb": needed_mb,
    }


def step(settings: Settings, seconds: float, chosen: Threads) -> str:
    """How long one training step takes, and with how many threads."""
    size = settings.batch_size
    return (
        f"Threads: {chosen.count}, because {chosen.reason}. One step with {size} images takes "
        f"{1000 * seconds:.1f} ms: {size / seconds:,.0f} images per second."
    )


def duration(train_seconds: float) -> str:
    """How long a whole run takes, in words: the training and about 30 s for the other notebooks."""
    minutes = (train_seconds + 30) / 60
    return f"{minutes:.0f} minutes" if minutes >= 1.5 else "a minute"


def estimate(run: Run, chosen: Threads) -> Notice:
    """How long the run will take; loud where other programs kept the machine busy."""
    r, settings = run.recorded, run.settings
    busy = busy_sentence(chosen.others)
    return Notice(
        f"{settings.epochs} epochs are {r['estimated_steps']:,} steps: experiment "
        f"{settings.experiment!r} will take about {duration(r['estimated_train_seconds'])} here "
        "(an estimate).",
        f"Now {busy}: without them it will be quicker." if busy else "",
    )


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 01 as a Markdown list, from what it recorded."""
    r = record
    statuses = [row.status for row in r["requirements"]]
    verdicts = ", ".join(f"{statuses.count(x)} {x}" for x in ("pass", "warn", "fail"))
    repeats = "repeats exactly" if r["seeded_runs_identical"] else "does not repeat exactly"
    return (
        f"- Requirements: {verdicts}.\n"
        f"- {r['device']}, {r['precision']}, threads: {r['threads']}; "
        f"{r['images_per_second']:,.0f} images per second.\n"
        f"- A gradient agrees with the reference to {r['gradient_difference']:.1e}.\n"
        f"- A seeded training {repeats} on this machine.\n"
        f"- The training: {r['estimated_steps']:,} steps; about "
        f"{duration(r['estimated_train_seconds'])} for all notebooks.\n"
        "- Written: `settings.yaml`, `hardware.json` and two figures."
    )
