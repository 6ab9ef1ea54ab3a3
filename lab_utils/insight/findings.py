"""What notebook 09 found, in sentences computed from the run."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor

from lab_utils.insight.attacks import STRONG
from lab_utils.insight.corruptions import Accuracy
from lab_utils.insight.gradcam import Look, share_in_the_middle


def surest_mistake(predicted: Tensor, targets: Tensor, confidence: Tensor) -> str:
    """How many of the answers (N,) are wrong, and how sure the surest of these is."""
    wrong = predicted != targets
    found = f"{wrong.sum():,} of {len(targets):,} test images are wrong"
    if not wrong.any():
        return f"{found}."
    return f"{found}; the surest mistake has a probability of {confidence[wrong].max():.1%}."


def heat(look: Look) -> str:
    """How much of the heat of the images of ``look`` lies in the middle."""
    share = share_in_the_middle(look)
    if share is None:
        cells = "x".join(map(str, look.cells))
        return f"Maps of {cells} cells cannot tell the middle of an image from its border."
    return (
        f"Of the heat on {len(look.heat):,} test images at equal distances, {share:.0%} lies in "
        "the central quarter of the area; spread evenly it would be 25%."
    )


def maps(look: Look, logit: float) -> str:
    """How much of the first image's ``logit`` its strongest maps add."""
    adds = look.maps[0].sum((1, 2))
    return (
        f"The logit of this class is {logit:.2f}; its {len(adds)} strongest maps add about "
        f"{adds.sum():.2f}, the strongest alone {adds.max():.2f}."
    )


def damage(rows: Sequence[Accuracy], clean: Accuracy) -> str:
    """Where chance does most harm, and where the least."""
    least, most = (pick(rows, key=lambda row: row.accuracy) for pick in (max, min))
    within = [row for row in rows if row.low <= clean.accuracy <= row.high]
    return (
        f"Of {clean.images} images, {clean.accuracy:.1%} are right as they are. "
        f"{_named(most).capitalize()} leaves {most.accuracy:.1%}, {_named(least)} "
        f"{least.accuracy:.1%}; for {len(within)} of {len(rows)} kinds and strengths the interval "
        "still holds the undamaged accuracy."
    )


def _named(row: Accuracy) -> str:
    strong = f"{row.strength:g}"
    kinds = {"blur": f"blur of {strong} pixels", "jpeg": f"JPEG of quality {strong}"}
    return kinds.get(row.damage, f"noise of {strong} grey levels")


def at_strong(rows: Sequence[Accuracy]) -> dict[str, float]:
    """Accuracy by attack at the epsilon of which captions and model card speak."""
    return {row.damage: row.accuracy for row in rows if row.strength == STRONG}


def attack(rows: Sequence[Accuracy], guessing: float) -> str:
    """What is left under attack, and from where on that is less than guessing."""
    left = at_strong(rows)
    below = [row.strength for row in rows if row.damage == "PGD" and row.accuracy < guessing]
    words = f"from {below[0]:g} grey levels on" if below else "at none of these strengths"
    return (
        f"With at most {STRONG} grey levels FGSM leaves {left['FGSM']:.1%} right and PGD "
        f"{left['PGD']:.1%}, of {rows[0].accuracy:.1%}. PGD takes the model below guessing "
        f"({guessing:.1%}) {words}."
    )


def gradients(slopes: Sequence[Sequence[float]], moves: Sequence[Sequence[float]]) -> str:
    """How the norms of gradient and step change from the first step to the last."""
    slopes, moves = np.asarray(slopes), np.median(moves, axis=1)
    longest = moves.argmax()
    return (
        f"In the first step the gradient of the first layer has a length of {slopes[0, 0]:.2g}, "
        f"that of the last layer {slopes[0, -1]:.2g}; in step {len(slopes)} {slopes[-1, 0]:.2g} "
        f"and {slopes[-1, -1]:.2g}. The largest step is number {longest + 1}: it moves the median "
        f"layer by {moves[longest]:.1%} of its length."
    )


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 09 as a Markdown list, from what it recorded."""
    r = SimpleNamespace(**record)
    share = r.heat_in_the_middle
    middle = "too coarse to tell" if share is None else f"{share:.0%} of it"
    return f"""\
- Damaged images: {r.corruption_accuracy:.1%} on average over {len(r.corruptions)} kinds and
  strengths, {r.insight_accuracy:.1%} for the same {r.insight_images} images as they are.
- Under attack with {STRONG} grey levels: {r.fgsm_accuracy:.1%} (FGSM), {r.pgd_accuracy:.1%}
  (PGD).
- Heat of the predicted class in the central quarter of the images: {middle}."""
