"""What was found, in sentences that the figures, notebook 05 and its summary share."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lab_utils.evaluation.calibration import Scaled
from lab_utils.evaluation.criteria import Criterion
from lab_utils.evaluation.metrics import Bin, ClassScores, Confused, wilson_interval
from lab_utils.evaluation.results import both_ways

FROG_CALLED_CAT = 2405  # of CIFAR-10's test images, counted from 0: labelled cat, and a frog


def counted(right: ArrayLike) -> str:
    """How many of ``right`` (N,) are true, and what that tells of all images of the kind."""
    correct, total = int(np.sum(np.asarray(right))), len(right)
    low, high = wilson_interval(correct, total)
    return (
        f"{correct:,} of {total:,} are right, {correct / total:.2%}. The 95% interval of the "
        f"accuracy goes from {low:.2%} to {high:.2%}."
    )


def against_validation(summary: Mapping[str, Any], accuracy: float, images: int) -> str:
    """How the test accuracy lies to the validation ``accuracy`` on so many ``images``."""
    test, n = summary["test_accuracy"], summary["test_images"]
    error = (test * (1 - test) / n + accuracy * (1 - accuracy) / images) ** 0.5
    within = abs(accuracy - test) <= 1.96 * error
    return (
        f"Validation accuracy is {accuracy:.2%} of {images:,} images. It and the test accuracy lie "
        f"{100 * abs(accuracy - test):.1f} points apart; chance alone explains up to "
        f"{196 * error:.1f}{'' if within else ', so that there is more to it'}."
    )


def surprise(loss: float, classes: int) -> str:
    """What a mean cross-entropy of ``loss`` nats means."""
    return (
        f"The mean is {loss:.3f} nats; equal probabilities for all {classes} classes would give "
        f"{np.log(classes):.3f}. The true class gets {np.exp(-loss):.1%} in the geometric mean."
    )


def most_frequent_error(pairs: Sequence[Confused]) -> str:
    """The first of ``confused_pairs``."""
    if not pairs:
        return "No test image is misclassified."
    first = pairs[0]
    return (
        f"The most frequent error is {first.true} taken for {first.predicted}: "
        f"{first.count:,} images, {first.share:.1%} of that class."
    )


def confusions(counts: np.ndarray, classes: Sequence[str]) -> str:
    """Which share of the errors the most frequent confusions make up."""
    rows, wrong = both_ways(counts, classes), int(counts.sum() - counts.trace())
    if not rows:
        return most_frequent_error([])
    first, together = rows[0], sum(row["count"] for row in rows)
    return (
        f"The {len(rows)} most frequent of {len(classes) * (len(classes) - 1)} confusions make up "
        f"{together / wrong:.0%} of all {wrong:,} errors. {first['true']} is taken for "
        f"{first['predicted']} {first['count']:,} times, the other way round "
        f"{first['the other way']:,} times."
    )


def spread(rows: Sequence[ClassScores], counts: np.ndarray) -> str:
    """How far apart the classes are, and which is named too often and too rarely."""
    worst, best = (f(rows, key=lambda row: row.recall) for f in (min, max))
    too_often = counts.sum(0) - counts.sum(1)
    told = [
        f"{rows[i].name} most {word} its share, {counts[:, i].sum():,} times for "
        f"{counts[i].sum():,} images"
        for i, word in ((too_often.argmax(), "above"), (too_often.argmin(), "below"))
    ]
    return (
        f"Recall goes from {worst.recall:.1%} ({worst.name}) to {best.recall:.1%} ({best.name}): "
        f"the accuracy over all classes shows none of these "
        f"{100 * (best.recall - worst.recall):.1f} points. Named {'; '.join(told)}."
    )


def ranking(summary: Mapping[str, Any]) -> str:
    """What the macro ROC-AUC of all test images says."""
    auc = summary["macro_auc"]
    if np.isnan(auc):
        return "A class has no test image, so that there is no mean over the classes."
    return (
        f"Over all {summary['test_images']:,} test images it is {auc:.3f}: in {auc:.1%} of the "
        "pairs the image of the class gets the higher probability for it."
    )


def sure_mistakes(
    data: str, logits: ArrayLike, targets: ArrayLike, classes: Sequence[str], shown: ArrayLike
) -> str:
    """Whether one of the mistakes ``shown`` is the label's, as far as anybody has looked.

    ``data`` is the name of the data set; known is CIFAR-10's whole test split.
    """
    logits, targets, k = np.asarray(logits, np.float64), np.asarray(targets), FROG_CALLED_CAT
    if data != "cifar10" or len(targets) != 10_000:
        return "Whether one of them is the label's mistake, only your eyes can tell."
    answer = classes[logits[k].argmax()]
    sure = 1 / np.exp(logits[k] - logits[k].max()).sum()
    place = [i for i, which in enumerate(np.asarray(shown), 1) if which == k]
    where = f" It is number {place[0]} of those above." if place else ""
    label = classes[targets[k]]
    judged = "an error, and is one"
    if answer in ("frog", label):
        judged = "an error, and is none" if answer == "frog" else "right, and is wrong"
    return (
        f"Test image {k}, counted from 0, shows a frog and is labelled {label}. The model says "
        f"{answer}, with {sure:.0%}: that counts as {judged}.{where}"
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


def errors(model: Scaled) -> str:
    """What the temperature did to the calibration error."""
    return (
        f"T = {model.temperature:.2f} takes the calibration error from {model.ece_before:.3f} to "
        f"{model.ece_after:.3f}"
    )


def scaling(models: Mapping[str, Scaled]) -> str:
    """What a temperature did to each of ``models``, and whether that is more than chance."""
    return "\n\n".join(_effect(name, model) for name, model in models.items())


def _effect(name: str, model: Scaled) -> str:
    change = model.loss_after - model.loss_before
    effect = "which leaves out zero: more than chance"
    if not model.beyond_chance:
        effect = "which holds zero: no change beyond chance"
    return (
        f"**{name[0].upper()}{name[1:]}**: {errors(model)}, and the cross-entropy from "
        f"{model.loss_before:.4f} to {model.loss_after:.4f}. That is {change:+.4f}, with "
        f"a 95% interval of {model.change_low:+.4f} to {model.change_high:+.4f}, {effect}."
    )


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
    chance = r.test_loss_change_low <= 0 <= r.test_loss_change_high
    effect = "by no more than chance" if chance else "by more than chance"
    return f"""\
- **{r.test_accuracy:.2%}** of {r.test_images:,} test images are right, 95% interval
  {r.test_accuracy_low:.2%} to {r.test_accuracy_high:.2%}; cross-entropy {r.test_loss:.3f},
  macro F1 {r.macro_f1:.3f}, AUC {r.macro_auc:.3f}.
- Best class {best}, worst class {worst}. {most_frequent_error(r.confused_pairs)}
- Calibration: {sureness(r.reliability)} (ECE {r.ece:.3f}; {r.ece_scaled:.3f} with temperature
  {r.temperature:.2f}, which changes the cross-entropy {effect}).
- A model that is overconfident: ECE {r.overconfident_ece:.3f}, and
  {r.overconfident_ece_scaled:.3f} with temperature {r.overconfident_temperature:.2f}.
- {verdict(r.criteria)}
- Written: `predictions.npz`, `metrics.json`, `evaluation.json` and the figures."""
