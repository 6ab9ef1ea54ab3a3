# ruff: noqa: E501  (a line of the card is a line of Markdown)
"""The model card (Mitchell et al., arXiv:1810.03993), written from a run's numbers."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined
from pydantic_core import to_jsonable_python

from lab_utils.core.files import write_text
from lab_utils.core.records import Deployment, Evaluation, Insight, Metrics, read
from lab_utils.core.run import Run
from lab_utils.core.settings import MODELS
from lab_utils.deployment import FILES, INT8, ONNX, PRECISION, PROGRAM, SCRIPT, WEIGHTS

CARD = "exports/model_card.md"


def _onnx(file: str) -> str:
    return f"""import onnxruntime
session = onnxruntime.InferenceSession("{file}")
logits = session.run(None, {{"pixels": pixels}})[0]"""


def _torch(load: str) -> str:
    return f"""import torch
model = {load}
logits = model(torch.from_numpy(pixels)).detach().numpy()"""


# What follows the lines that prepare the picture.
LOADING = {
    ONNX: _onnx(FILES[ONNX]),
    INT8: _onnx(FILES[INT8]),
    PROGRAM: _torch(f'torch.export.load("{FILES[PROGRAM]}").module()'),
    SCRIPT: _torch(f'torch.jit.load("{FILES[SCRIPT]}")'),
    WEIGHTS: f"""import torch
from lab_utils.deployment.formats import open_model
logits = open_model("{FILES[WEIGHTS]}").run(torch.from_numpy(pixels)).detach().numpy()""",
}
_WORDS = """\
{% set m = metrics %}
{% set size = data.image_size %}
# Model card: {{ names[run.settings.model] }} on {{ data.title }}

{% if data.warning %}
> **{{ data.warning }}**

{% endif %}
## The model

- Convolutional image classifier with {{ m.parameters | number(",") }} parameters, {{ data.classes | length }} classes.
- {{ "Fine-tuned from ImageNet weights" if run.settings.pretrained else "Trained from scratch" }} by run `{{ run.name }}` of the lab (experiment `{{ run.settings.experiment }}`, seed
  {{ run.settings.seed }}, commit `{{ commit }}`, PyTorch {{ torch }}): {{ m.epochs }} epochs in {{ m.train_seconds | number(",.0f") }} s on
  {{ m.device }} in {{ m.precision }}. These are the weights after epoch {{ m.best_epoch }}.

## What it is for

Teaching: {{ size }} by {{ size }} pixel colour images that show exactly one of the classes below. It is
not meant for decisions about people or for anything where a mistake costs more than a lesson.

## Data

- {{ data.title }}: {{ data.train_images | number(",") }} training, {{ data.val_images | number(",") }} validation and
  {{ m.test_images | number(",") }} test images.
- Source: {{ data.source }}. Licence: {{ data.licence }}. Fingerprint: `{{ data.fingerprint }}`.

## How good it is

| on {{ m.test_images | number(",") }} test images, by which this run chose nothing | |
| --- | --- |
| accuracy | {{ m.test_accuracy | number(".2%") }} (95% interval {{ m.test_accuracy_low | number(".2%") }} to {{ m.test_accuracy_high | number(".2%") }}) |
| cross-entropy | {{ m.test_loss | number(".3f") }} |
| macro F1 | {{ m.macro_f1 | number(".3f") }} |
| calibration error (ECE) | {{ m.ece | number(".3f") }} |
{% if m.tta != "none" %}
| accuracy of these files | {{ m.test_accuracy_one_view | number(".2%") }}: the figures above average several views of each image (`tta: {{ m.tta }}`), the files see one |
{% endif %}

Best class: {{ classes[-1].name }} ({{ classes[-1].recall | number(".1%") }} found). Weak classes: {% for row in classes[:3] %}
{{ row.name }} ({{ row.recall | number(".1%") }} found){{ ", " if not loop.last else "." }}
{%- endfor %}

{% if pairs %}
The most frequent confusion: {{ pairs[0].share | number(".0%") }} of {{ pairs[0].true }} images are called {{ pairs[0].predicted }}.
{% else %}
No test image was misclassified.
{% endif %}

## Limits

- It always answers with one of its classes, also for a picture that shows none of them.
{% if insight %}
- Damage costs accuracy. Of {{ insight.insight_images | number(",") }} test images it gets {{ insight.insight_accuracy | number(".1%") }} right as they are and {{ insight.corruption_accuracy | number(".1%") }}
  with noise, blur or JPEG compression, on average over kinds and strengths.
- It can be fooled on purpose: {{ insight.pgd_accuracy | number(".1%") }} of them are still right where an attacker who knows the
  weights changes each pixel by at most 2 of 255 grey levels (PGD).
{% endif %}
- Only images of its own data set were tested: other cameras, styles and backgrounds were not.
- Its confidence is off by {{ (100 * m.ece) | number(".1f") }} percentage points on average (ECE) as trained, by {{ (100 * m.ece_scaled) | number(".1f") }} with the
  temperature {{ m.temperature | number(".3f") }} of notebook 05{% if m.tta == "none" %}, by which the files divide their logits{% endif %}. It is no guarantee.
{% if deployment.get("sure_accuracy") is not none %}
- From a confidence of {{ deployment.threshold | number(".1%") }} on an answer may be called sure: {{ precision | number(".0%") }} of these were right on the
  validation images, {{ deployment.sure_accuracy | number(".1%") }} on the test images, of which {{ deployment.sure_share | number(".1%") }} are sure.
{% endif %}
{% if deployment.get("jpeg") %}
- After JPEG compression (quality {{ deployment.jpeg.quality }}) {{ deployment.jpeg.accuracy | number(".1%") }} of the test images are right,
  {{ (100 * deployment.jpeg.difference) | number("+.1f") }} points.
{% endif %}
- The interval covers the choice of test images, not a training with another seed.

## Files

Input `pixels`: float32 (batch, 3, {{ size }}, {{ size }}), RGB, values 0 to 1; normalisation is inside.
Output `logits`: float32 (batch, {{ data.classes | length }}), in this order: {{ data.classes | join(", ") }}.
Their softmax is the probability of each class. `classes`, `threshold` and more are in the metadata of each file.

{% if formats %}
| format | size | accuracy | one image | needs |
| --- | --- | --- | --- | --- |
{% for f in formats %}
| {{ f.name }} | {{ (f.bytes / 1e6) | number(".2f") }} MB | {{ f.accuracy | number(".2%") }} | {{ f.latency_ms | number(".2f") }} ms | {{ f.note }} |
{% endfor %}

{% endif %}
Every way to load a file begins with the picture:

```python
import numpy as np
from PIL import Image, ImageOps

picture = ImageOps.fit(Image.open("picture.png").convert("RGB"), ({{ size }}, {{ size }}))
pixels = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1)[None] / 255
```

{% for name, lines in loading.items() %}
{{ name }}:

```python
{{ lines }}
```

{% endfor %}
The class is `{{ data.classes | list }}[logits.argmax()]`.
"""


def model_card(run: Run, deployment: Mapping[str, Any]) -> str:
    """Markdown for whoever gets the exported files: what the model is, does and does not do.

    Its numbers are those that the steps of the run wrote, with what 06 recorded in ``deployment``
    (``findings.facts`` at least), and with what damage and attacks do where 09 has run. Raises
    LabError where a file of them is missing or damaged.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["number"] = format  # 0.781 | number(".1%")
    deployment = to_jsonable_python(deployment, fallback=float)
    formats = deployment.get("formats", [])
    evaluation, made = read(run, Evaluation), run.manifest.get("04_training", {})
    return environment.from_string(_WORDS).render(
        run=run,
        commit=made.get("git_commit") or "unknown",
        torch=made.get("versions", {}).get("torch", "unknown"),
        data=deployment["data"],
        names=MODELS,
        metrics=read(run, Metrics, "temperature", "ece_scaled"),
        insight=read(run, Insight) if run.done("09_insight") else None,
        classes=sorted(evaluation.per_class, key=lambda row: row.recall),
        pairs=evaluation.confused_pairs,
        formats=formats,
        deployment=deployment,
        precision=PRECISION,
        loading={
            k: v for k, v in LOADING.items() if k in {f["name"] for f in formats} or not formats
        },
    )


def write_card(run: Run, deployment: Mapping[str, Any] | None = None) -> str:
    """Write the card beside the exports and return it; of a finished 06 where nothing is given."""
    card = model_card(run, deployment or read(run, Deployment, "data").model_dump())
    write_text(run.file(CARD), card)
    return card
