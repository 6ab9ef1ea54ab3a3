"""What was found, in sentences that the figures, notebook 05 and its summary share."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from lab_utils.evaluation.metrics import Bin, Confused, Criterion, wilson_interval


def most_frequent_error(pairs: Sequence[Confused]) -> str:
    """The first of ``confused_pairs``."""
    if not pairs:
        return "No test image is misclassified."
    first = pairs[0]
    return (
        f"The most frequent error is {first.true} taken for {first.predicted}: "
        f"{first.count:,} images, {first.share:.1%} of that class."
    )


def sureness(bins: Sequence[Bin]) -> str:
    """How the mean confidence of ``reliability`` compares with the accuracy."""
    images, filled = sum(b.count for b in bins), [b for b in bins if b.count]
    sure = sum(b.count * b.confidence for b in filled) / images
    right = sum(b.count * b.accuracy for b in filled) / images
    low, high = wilson_interval(round(right * images), images)
    words = f"the mean confidence is {sure:.1%}, the accuracy {right:.1%}: the model is "
    if low <= sure <= high:
        return words + "on average as sure as it is right, within the uncertainty"
    kind = "overconfident" if sure > right else "too modest"
    return words + f"{kind} by {100 * abs(sure - right):.1f} points on average"


def verdict(criteria: Sequence[Criterion]) -> str:
    """Which of the success criteria are not met, or not measured."""
    sentences = []
    for passed, word in ((False, "not met"), (None, "not measured")):
        if rows := [row for row in criteria if row.passed is passed]:
            names = "; ".join(f"{row.criterion.lower()} ({row.found})" for row in rows)
            sentences.append(f"{len(rows)} of {len(criteria)} criteria {word}: {names}.")
    return " ".join(sentences) or f"All {len(criteria)} criteria are met."


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 05 as a Markdown list, from what it recorded."""
    r = SimpleNamespace(**record)
    ranked = sorted(r.per_class, key=lambda row: row.recall)
    worst, best = (f"{row.name} ({row.recall:.1%})" for row in (ranked[0], ranked[-1]))
    return f"""\
- **{r.test_accuracy:.2%}** of {r.test_images:,} test images are right, 95% interval
  {r.test_accuracy_low:.2%} to {r.test_accuracy_high:.2%}; cross-entropy {r.test_loss:.3f},
  macro F1 {r.macro_f1:.3f}, AUC {r.macro_auc:.3f}.
- Best class {best}, worst class {worst}. {most_frequent_error(r.confused_pairs)}
- Calibration: {sureness(r.reliability)} (ECE {r.ece:.3f}; {r.ece_scaled:.3f} with temperature
  {r.temperature:.2f}).
- {verdict(r.criteria)}
- Written: `predictions.npz`, `metrics.json`, `evaluation.json` and the figures."""
