"""Whether an exported file still computes the same, and how fast it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
import json
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
from timeit import timeit

import numpy as np
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.show import Table
from lab_utils.deployment import INT8, NEEDS, ONNX, PROGRAM, SCRIPT, WEIGHTS
from lab_utils.deployment.formats import Runner

TOLERANCE = 1e-4  # of a logit, or 1e-5 of the largest logit where that is more
INT8_POINTS = 0.01  # of accuracy that int8 may lose
BATCH_SIZES = (1, 8, 64, 256)


@dataclass(frozen=True)
class Format:
    """A row of ``deployment.json``: a file beside the original, and how fast it is."""

    name: str
    file: str  # with its folder
    bytes: int
    max_logit_difference: float  # the largest of all images and classes
    same_predictions: float  # share of the images
    accuracy: float
    difference: float  # of its accuracy to the original's, over the same images
    difference_low: float  # the 95% interval of it
    difference_high: float
    note: str
    latency_ms: float | None = None  # median for one image; None: not measured yet
    latency_p99_ms: float | None = None
    throughput: dict[int, float] = field(default_factory=dict)  # images per second by batch size


@torch.inference_mode()
def logits_of(run: Runner, images: Tensor, batch_size: int = 500) -> Tensor:
    """Logits (N, K) for uint8 images (N, 3, S, S)."""
    return torch.cat([run(batch.float() / 255) for batch in images.split(batch_size)])


def in_fresh_processes(files: Mapping[str, Path], images: Tensor) -> dict[str, Tensor]:
    """Logits (N, K) by format, from programs that know nothing of the lab (``fresh.py``).

    ONNX files run in a process without PyTorch, the others in a second one at the same time. A
    safetensors file holds tensors and no graph: they are compared, bit by bit, with TorchScript's,
    and its logits are those. Raises LabError where a file does not run there.
    """
    with TemporaryDirectory() as place:
        np.save(Path(place, "images.npy"), images.numpy())
        started, threads = [], max(1, torch.get_num_threads() // 2)  # of each of the two
        for allowed, group in (([], [ONNX, INT8]), (["torch"], [WEIGHTS, SCRIPT, PROGRAM])):
            chosen = {kind: str(files[kind].resolve()) for kind in group if kind in files}
            job = {"images": "images.npy", "threads": threads, "files": chosen}
            path = Path(place, f"{len(started)}.json")
            path.write_text(json.dumps(job), encoding="utf-8")
            command = [sys.executable, "-I", str(Path(__file__).with_name("fresh.py")), path.name]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = subprocess.Popen(command, cwd=place, **pipes)
            started.append((" or ".join(chosen), allowed, process))
        try:
            for names, allowed, process in started:
                _wait(names, allowed, process)
        finally:  # after a failure or a stop the other must not go on in a folder that is gone
            for *_, process in started:
                process.kill()
                process.wait()
        found = {kind: Path(place, f"{kind}.npy") for kind in files}
        if WEIGHTS in found:
            found[WEIGHTS] = found[SCRIPT]
        return {kind: torch.from_numpy(np.load(path)) for kind, path in found.items()}


def _wait(names: str, allowed: list[str], process: subprocess.Popen) -> None:
    output, errors = process.communicate()
    if process.returncode:
        why = (errors.strip().splitlines() or ["it was stopped"])[-1]
        raise LabError(f"{names} does not run in a new process: {why}; export it again.")
    loaded = json.loads(output.splitlines()[-1])
    if not set(loaded) <= set(allowed):
        raise LabError(f"{names} needs {', '.join(loaded)} to run, which strangers may not have.")


def paired_difference(ours: Tensor, theirs: Tensor) -> tuple[float, float, float]:
    """The difference of two accuracies over the same images, and its 95% interval.

    From what each has right, boolean (N,). Only the images on which they differ count: with b that
    ours alone has right and c theirs, the difference is (b - c) / n and its variance
    (b + c - (b - c)^2 / n) / n^2 (Wald's, for paired shares; Fleiss, 1981, chapter 8).
    """
    n, ours, theirs = len(ours), ours.bool(), theirs.bool()
    b, c = (ours & ~theirs).sum().item(), (theirs & ~ours).sum().item()
    difference = (b - c) / n
    half = 1.96 * max(b + c - (b - c) ** 2 / n, 0) ** 0.5 / n
    return difference, difference - half, difference + half


def compare(
    files: Mapping[str, Path], answers: Mapping[str, Tensor], expected: Tensor, targets: Tensor
) -> list[Format]:
    """Each file's logits (N, K) in ``answers`` beside the original's, ``expected``.

    Raises LabError, which names the format and the worst image, where a float file is further off
    than TOLERANCE, or int8 loses more accuracy than INT8_POINTS and than chance can explain.
    """
    right = expected.argmax(1) == targets
    rows = []
    for kind, logits in answers.items():
        off = (logits - expected).abs().amax(1)
        same = logits.argmax(1) == expected.argmax(1)
        paired = paired_difference(logits.argmax(1) == targets, right)
        row = Format(
            kind, f"{files[kind].parent.name}/{files[kind].name}", files[kind].stat().st_size,
            off.max().item(), same.double().mean().item(),
            (logits.argmax(1) == targets).double().mean().item(), *paired, NEEDS[kind],
        )  # fmt: skip
        _refuse(row, off, expected)
        rows.append(row)
    return rows


def _refuse(row: Format, off: Tensor, expected: Tensor) -> None:
    """LabError where the file of this row must not be handed on.

    With every logit within the tolerance a prediction can only differ where the two largest logits
    of the original are nearer to each other than twice that: there either answer is as good.
    """
    worst = int(off.argmax())
    allowed = max(TOLERANCE, 1e-5 * expected.abs().max().item())
    if row.name != INT8 and not row.max_logit_difference <= allowed:
        raise LabError(
            f"{row.name} is not the model it was made of: on test image {worst} a logit is off by "
            f"{row.max_logit_difference:.2g}, where {allowed:.2g} is allowed; export it again."
        )
    if row.name == INT8 and row.difference < -INT8_POINTS and row.difference_high < -INT8_POINTS:
        raise LabError(
            f"{row.name} loses {-100 * row.difference:.1f} points of accuracy, and is furthest off "
            f"on test image {worst}; leave more of it in float32, or hand on the ONNX file."
        )


def table(rows: Sequence[Format]) -> Table:
    """The formats beside the original, without their speed."""
    shown = ("name", "bytes", "max_logit_difference", "same_predictions", "accuracy")
    heads = ("format", "bytes", "largest logit difference", "same predictions", "accuracy")
    cells = [{h: getattr(row, k) for h, k in zip(heads, shown, strict=True)} for row in rows]
    return Table(cells, **dict(zip(heads[1:], (",", ".2g", ".2%", ".2%"), strict=True)))


def ties(expected: Tensor) -> int:
    """Images whose two largest logits are within twice the tolerance: rounding decides them."""
    first, second = expected.topk(2, dim=1).values.T
    return int((first - second <= 2 * TOLERANCE).sum())


@torch.inference_mode()
def measure(
    runners: Mapping[str, Runner], pixels: Tensor, batch_sizes: Sequence[int] = BATCH_SIZES,
    seconds: float = 0.06, rounds: int = 3,
) -> dict[str, dict[int, list[float]]]:  # fmt: skip
    """Seconds of each call, by format and batch size; about ``seconds`` of each are measured.

    The formats take turns ``rounds`` times, so that a busy moment of the machine hits all alike.
    """
    times = {name: {size: [] for size in batch_sizes} for name in runners}
    for size in batch_sizes:
        batch = pixels[torch.arange(size) % len(pixels)]
        for name, run in list(runners.items()) * rounds:
            call, taken = partial(run, batch), []
            call()  # not timed: memory and threads warm up
            while sum(taken) < seconds / rounds:
                taken.append(timeit(call, number=1))
            times[name][size] += taken
    return times


def with_times(row: Format, times: Mapping[int, Sequence[float]]) -> Format:
    """The row with the seconds of its calls, by batch size, as latency and throughput."""
    middle, slow = np.percentile(times[1], (50, 99))
    rates = {size: size / float(np.median(taken)) for size, taken in times.items()}
    changed = {"latency_ms": 1e3 * float(middle), "latency_p99_ms": 1e3 * float(slow)}
    return Format(**{**vars(row), **changed, "throughput": rates})
