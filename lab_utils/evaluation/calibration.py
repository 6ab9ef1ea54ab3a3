"""Temperature scaling (Guo et al., arXiv:1706.04599), and whether it changed anything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from lab_utils.evaluation.metrics import Bin, calibration_error, cross_entropy, losses, reliability

LOWEST, HIGHEST = 0.05, 20.0  # temperatures


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    """The T in 0.05 to 20 with the least cross-entropy of ``logits / T``.

    (N, K) logits and (N,) targets of images that the test split does not hold. The cross-entropy
    has one minimum, as it is convex in 1 / T, at zero where no image is wrong.
    """
    logits = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        return cross_entropy(logits / np.exp(log_temperature), targets)

    found = minimize_scalar(loss, bounds=np.log([LOWEST, HIGHEST]), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


@dataclass(frozen=True)
class Scaled:
    """What a division of its logits by ``temperature`` does to a model's answers to N images."""

    temperature: float
    before: list[Bin]
    after: list[Bin]
    loss_before: float  # cross-entropy in nats
    loss_after: float
    change_low: float  # ends of the 95% interval of the change in cross-entropy
    change_high: float

    @property
    def ece_before(self) -> float:
        """The calibration error as trained."""
        return calibration_error(self.before)

    @property
    def ece_after(self) -> float:
        """The calibration error with the temperature."""
        return calibration_error(self.after)

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval of the change leaves out zero."""
        return not self.change_low <= 0 <= self.change_high


def scale(logits: ArrayLike, targets: ArrayLike, temperature: float) -> Scaled:
    """Both reliabilities and losses of (N, K) ``logits``, N at least 2, for (N,) ``targets``.

    The interval of the change is that of the mean of the images' differences: before and after
    are the same images, so most of the chance in either loss is not in their difference.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    before, after = losses(logits, targets), losses(scaled, targets)
    change = after - before
    middle, half = change.mean(), 1.96 * change.std(ddof=1) / len(change) ** 0.5
    return Scaled(
        temperature, reliability(logits, targets), reliability(scaled, targets),
        float(before.mean()), float(after.mean()), float(middle - half), float(middle + half),
    )  # fmt: skip
