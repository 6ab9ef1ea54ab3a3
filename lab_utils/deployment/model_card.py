"""Notebook 06: the model card (Mitchell et al., arXiv:1810.03993), written from a run's numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab_utils.core.run import Run
from lab_utils.data.dataset import Dataset


def model_card(
    run: Run,
    dataset: Dataset,
    best: Mapping[str, Any],
    metrics: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    formats: Sequence[Mapping[str, Any]],
) -> str:
    """Markdown for whoever gets the exported files: what the model is, does and does not do.

    ``best`` is what ``best.pt`` holds, ``metrics`` and ``evaluation`` are the JSON files of
    notebook 05, ``formats`` the rows of ``deployment.json``.
    """
    size, classes = best["image_size"], best["classes"]
    made = run.manifest["04_training"]
    rows = sorted(evaluation["per_class"], key=lambda row: row["recall"])
    pairs = evaluation["confused_pairs"]
    confusion = (
        f"The most frequent confusion: {pairs[0]['share']:.0%} of {pairs[0]['true']} images are "
        f"called {pairs[0]['predicted']}."
        if pairs
        else "No test image was misclassified."
    )
    files = "\n".join(
        f"| {f['name']} | `{f['file'].split('/')[-1]}` | {f['bytes'] / 1e6:.2f} MB "
        f"| {f['latency_ms']:.2f} ms | {f['note']} |"
        for f in formats
    )
    views = ""
    if metrics["tta"] != "none":
        views = (
            f"| accuracy of these files | {metrics['test_accuracy_one_view']:.2%}: the figures "
            f"above average several views of each image (`tta: {metrics['tta']}`), the files "
            "see one |\n"
        )
    warning = f"> **{dataset.warning}**\n\n" if dataset.warning else ""
    return f"""# Model card: {best["model_name"]} on {dataset.title}

{warning}## The model

- Convolutional image classifier with {metrics["parameters"]:,} parameters, {len(classes)} classes.
- Trained from scratch by run `{run.name}` of the lab (experiment `{run.settings.experiment}`, seed
  {run.settings.seed}, commit `{made["git_commit"] or "unknown"}`, PyTorch \
{made["versions"]["torch"]}): {metrics["epochs"]} epochs in {metrics["train_seconds"]:,.0f} s on
  {metrics["device"]} in {metrics["precision"]}. These are the weights after epoch \
{metrics["best_epoch"]}.

## What it is for

Teaching: {size} by {size} pixel colour images that show exactly one of the classes below. It is
not meant for decisions about people or for anything where a mistake costs more than a lesson.

## Data

- {dataset.title}: {len(dataset.train):,} training, {len(dataset.val):,} validation and
  {metrics["test_images"]:,} test images.
- Source: {dataset.source}. Licence: {dataset.licence}. Fingerprint: `{dataset.fingerprint}`.

## How good it is

| on {metrics["test_images"]:,} test images, used once | |
| --- | --- |
| accuracy | {metrics["test_accuracy"]:.2%} (95% interval {metrics["test_accuracy_low"]:.2%} to \
{metrics["test_accuracy_high"]:.2%}) |
| cross-entropy | {metrics["test_loss"]:.3f} |
| macro F1 | {metrics["macro_f1"]:.3f} |
| calibration error (ECE) | {metrics["ece"]:.3f} |
{views}
Best class: {rows[-1]["class"]} ({rows[-1]["recall"]:.1%} found). Worst class: {rows[0]["class"]}
({rows[0]["recall"]:.1%} found). {confusion}

## Limits

- It always answers with one of its classes, also for a picture that shows none of them.
- Images that differ from the training data in style, scale or background were not tested.
- Its confidence is off by {100 * metrics["ece"]:.1f} percentage points on average (ECE); do not
  read it as a guarantee.
- The interval covers the choice of test images, not a training with another seed.

## Files

| format | file | size | one image | needs |
| --- | --- | --- | --- | --- |
{files}

Input `pixels`: float32 (batch, 3, {size}, {size}), RGB, values 0 to 1; normalisation is inside.
Output `logits`: float32 (batch, {len(classes)}), in this order: {", ".join(classes)}.

```python
import numpy as np, onnxruntime
from PIL import Image, ImageOps

picture = ImageOps.fit(Image.open("picture.png").convert("RGB"), ({size}, {size}))
pixels = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1)[None] / 255
session = onnxruntime.InferenceSession("model.onnx")
logits = session.run(None, {{"pixels": pixels}})[0]
print({classes!r}[logits.argmax()])
```
"""
