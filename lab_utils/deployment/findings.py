"""Notebook 06 in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.run import Run
from lab_utils.data.dataset import Dataset
from lab_utils.deployment import INT8, ONNX, WEIGHTS
from lab_utils.deployment.compare import Format, paired_difference, ties
from lab_utils.deployment.engine import Engine
from lab_utils.deployment.pixel_model import About
from lab_utils.deployment.quantize import Quantized, has_vnni
from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.evaluation.predictions import load_predictions


def as_before(run: Run, logits: Tensor) -> str:
    """How the first test images are answered here and by notebook 05; ``logits`` are (N, K)."""
    before = torch.from_numpy(load_predictions(run.file("predictions.npz")).logits[: len(logits)])
    same = (logits.argmax(1) == before.argmax(1)).double().mean().item()
    views = "" if run.settings.tta == "none" else " (which averaged several views of each)"
    return f"Of {len(logits)} test images {same:.1%} get the class of notebook 05{views}."


def mistakes(shares: Mapping[str, float]) -> str:
    """What the mistakes in preparing an image cost; accuracies by mistake, the right way first."""
    (_, right), *wrong = shares.items()
    (worst, least), (best, most) = (f(wrong, key=lambda row: row[1]) for f in (min, max))
    return (
        f"Prepared as in the training {right:.1%} are right. The dearest mistake is "
        f"*{worst}*, which leaves {least:.1%}; the cheapest, *{best}*, leaves {most:.1%}, and is "
        "the hardest to notice."
    )


def sure(logits: Tensor, targets: Tensor, about: About) -> tuple[dict[str, Any], str]:
    """What the threshold does on the test images, calibrated ``logits`` (N, K): to record, to read.

    ``sure_share`` of the images, and ``sure_accuracy`` among them, None where there is none.
    """
    confidence, answers = logits.double().softmax(1).max(1)
    threshold = about.threshold
    which = confidence >= (2 if threshold is None else threshold)
    right, count = int((answers == targets)[which].sum()), int(which.sum())
    found = {
        "temperature": about.temperature,
        "threshold": threshold,
        "sure_share": count / len(targets),
        "sure_accuracy": right / count if count else None,
    }
    if not count:
        return found, "No answer of this model is sure enough: the engine will say so each time."
    low, high = wilson_interval(right, count)
    return found, (
        f"The temperature is {about.temperature:.3f}. From a confidence of {threshold:.1%} on, an "
        f"answer is called sure. Of the test images {found['sure_share']:.1%} are, and "
        f"{right / count:.1%} of these answers are right (95% interval {low:.1%} to {high:.1%})."
    )


def quantization(
    int8: Quantized, scales: np.ndarray, name: str, weights: np.ndarray, whole: np.ndarray
) -> str:
    """A row of a filter in both forms, which scheme was kept, what the processor makes of it."""
    row = ", ".join(f"{w:.3f}" for w in weights[0, 0, 0])
    became = ", ".join(f"{q}" for q in whole[0, 0, 0])
    text = f"The first row of the first filter of `{name}`: {row} becomes {became}. "
    if not int8.file:
        return text + f"There is no int8 file of this model. {int8.why}"
    best = min(int8.tried, key=lambda row: row.drop)
    helped = (
        "This processor multiplies and adds 8-bit integers in one instruction (VNNI, or its "
        "relatives), so int8 should be faster here."
        if has_vnni()
        else "This processor has no instruction for 8-bit products (VNNI), so int8 may be *slower* "
        "here than float32; the file is still smaller."
    )
    return (
        f"{text}The scales of the {len(scales)} filters differ up to "
        f"{max(scales) / max(min(scales), 1e-12):,.0f}-fold, which is why each has its own. Of "
        f"{len(int8.tried)} scheme{'s' * (len(int8.tried) > 1)} tried, *{best.scheme}* is kept: "
        f"{best.accuracy:.2%} of the validation images are right, {-100 * best.drop:+.2f} points. "
        + helped
    )


def parity(rows: Sequence[Format], expected: Tensor) -> str:
    """Whether the files agree with the original on all test images, logits ``expected`` (N, K)."""
    floats = [row for row in rows if row.name != INT8]
    worst = max(floats, key=lambda row: row.max_logit_difference)
    changed = sum(round((1 - row.same_predictions) * len(expected)) for row in floats)
    said = (
        f"All {len(floats)} float files answer all {len(expected):,} test images as the model does"
        if not changed
        else f"The float files change {changed} answers on ties, where rounding decides,"
    )
    text = (
        f"{said}; the largest difference of a logit is {worst.max_logit_difference:.2g} "
        f"({worst.name}). On {ties(expected)} images the two largest logits are so close that "
        "rounding could have changed the answer."
    )
    if rows[-1].name == INT8:
        last = rows[-1]
        text += (
            f" int8 changes {1 - last.same_predictions:.2%} of the answers and its accuracy by "
            f"{100 * last.difference:+.2f} points (95% interval {100 * last.difference_low:+.2f} "
            f"to {100 * last.difference_high:+.2f}), at "
            f"{last.bytes / rows[-2].bytes:.0%} of the size."
        )
    return text


def speed(rows: Sequence[Format]) -> str:
    """Latency and throughput of the formats beside plain PyTorch."""
    plain = next(row for row in rows if row.name == WEIGHTS)
    quick = min(rows, key=lambda row: row.latency_ms)
    size = max(plain.throughput)
    busy = max(rows, key=lambda row: row.throughput[size])
    text = (
        f"One image takes {plain.latency_ms:.2f} ms with PyTorch and {quick.latency_ms:.2f} ms "
        f"with {quick.name}: {plain.latency_ms / quick.latency_ms:.1f} times as fast. In batches "
        f"of {size}, {busy.name} does {busy.throughput[size]:,.0f} images/s, "
        f"{busy.throughput[size] / plain.throughput[size]:.1f} times PyTorch's rate: the fewer "
        "images in a call, the more of the time is overhead, and the more there is to save."
    )
    found = {row.name: row for row in rows}
    if INT8 in found and ONNX in found:
        ours, other = found[INT8], found[ONNX]
        longer = ours.latency_ms / other.latency_ms
        more = ours.throughput[size] / other.throughput[size]
        text += (
            f" Beside {ONNX}, {INT8} takes {longer:.1f} times as long for one image, and does "
            f"{more:.1f} times as many images/s in batches of {size}."
        )
    if quick.latency_p99_ms:
        text += f" The p99 of {quick.name} is {quick.latency_p99_ms:.2f} ms."
    if max(row.latency_ms for row in rows) > 20 * quick.latency_ms:
        text += " A factor of over 20 between two formats points to a busy machine: measure again."
    return text


def refusal(engine: Engine, nonsense: Any) -> str:
    """The sentence with which the engine refuses what is no picture."""
    try:
        found = engine.predict(nonsense)
    except LabError as error:
        return str(error)
    raise AssertionError(f"nonsense was called {found.label}")


def compressed(before: Tensor, after: Tensor, quality: int) -> tuple[dict[str, Any], str]:
    """What JPEG compression costs, from what was right before and after (N,): record, words."""
    difference, low, high = paired_difference(after, before)
    accuracy = after.double().mean().item()
    found = {"quality": quality, "images": len(after), "accuracy": accuracy,
             "difference": difference, "low": low, "high": high}  # fmt: skip
    return {"jpeg": found}, (
        f"Saved as JPEG of quality {quality}, {accuracy:.2%} of the same test images are right: "
        f"{100 * difference:+.2f} points (95% interval {100 * low:+.2f} to {100 * high:+.2f})."
    )


def facts(dataset: Dataset) -> dict[str, Any]:
    """What the card tells of the data, for 06 to record."""
    kept = ("title", "source", "licence", "fingerprint", "warning", "classes")
    sizes = {"train_images": len(dataset.train), "val_images": len(dataset.val)}
    known = {name: getattr(dataset, name) for name in kept} | sizes
    return {"data": known | {"image_size": dataset.train.images.shape[-1]}}


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 06 as a Markdown list, from what it recorded."""
    rows, images, jpeg = record["formats"], record["images_compared"], record["jpeg"]
    floats = [row for row in rows if row.name != INT8]
    exact = sum(row.same_predictions == 1 for row in floats)
    worst = max(row.max_logit_difference for row in floats)
    plain = rows[0]
    quickest = min(rows, key=lambda row: row.latency_ms)
    rate, size, busiest = max(
        (rate, size, row.name) for row in rows for size, rate in row.throughput.items()
    )
    sizes = [row.bytes / 1e6 for row in rows]
    lines = [
        f"{exact} of {len(floats)} float files, run where the lab is unknown, give the same "
        f"prediction for all {images:,} images; the largest difference of a logit is {worst:.2g}.",
        f"One image takes {quickest.latency_ms:.2f} ms with {quickest.name}, "
        f"{plain.latency_ms:.2f} ms with PyTorch.",
        f"Highest throughput: {rate:,.0f} images/s with {busiest} in batches of {size}.",
        f"The files are {min(sizes):.2f} to {max(sizes):.2f} MB.",
        f"JPEG compression changes the accuracy by {100 * jpeg['difference']:+.1f} points.",
    ]
    if rows[-1].name == INT8:
        lines.insert(1, f"int8 changes the accuracy by {100 * rows[-1].difference:+.2f} points.")
    if record["sure_accuracy"] is not None:
        lines.append(
            f"{record['sure_share']:.0%} of the answers are sure, and "
            f"{record['sure_accuracy']:.1%} of these are right."
        )
    return "\n".join(f"- {line}" for line in lines)
