"""Probabilities that can be believed: one temperature for all logits, and an average over seeds."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from lab_utils import LabError
from lab_utils.core.run import Run, runs_dir
from lab_utils.evaluation.metrics import cross_entropy
from lab_utils.evaluation.predictions import load_predictions

COLDEST, HOTTEST = 0.05, 20.0  # a split without an error would drive the temperature to zero


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    """The T in 0.05 to 20 with the least cross-entropy of ``logits / T`` (arXiv:1706.04599).

    (N, K) logits and (N,) targets of images that the test split does not hold. The cross-entropy
    has one minimum, as it is convex in 1 / T.
    """
    logits = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        return cross_entropy(logits / np.exp(log_temperature), targets)

    found = minimize_scalar(loss, bounds=np.log([COLDEST, HOTTEST]), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def mean_probabilities(members: Iterable[ArrayLike]) -> np.ndarray:
    """The mean of the members' probabilities as (N, K) logits: softmax gives it back.

    ``members`` are the (N, K) logits of several networks for the same images.
    """
    each = np.stack([log_softmax(np.asarray(logits, np.float64), axis=1) for logits in members])
    return logsumexp(each, axis=0) - np.log(len(each))


def sibling_logits(run: Run, targets: ArrayLike) -> dict[int, np.ndarray]:
    """Test logits (N, K), by seed, of the tested runs beside ``run`` with its recipe and data.

    Their test images have these ``targets`` (N,): with ``test_size`` each seed has others.
    """
    found: dict[int, np.ndarray] = {}
    beside = sorted(runs_dir().glob("*/settings.yaml")) if run.path.parent == runs_dir() else ()
    for folder in (file.parent for file in beside):
        try:
            other = Run.open(folder)
            if other.done("05_evaluation") and _alike(run, other):
                logits, seen, _ = load_predictions(other.file("predictions.npz"))
                if np.array_equal(seen, targets):
                    found.setdefault(other.settings.seed, logits)
        except LabError:
            continue  # a damaged run
    found.pop(run.settings.seed, None)
    return found


def _alike(run: Run, other: Run) -> bool:
    data, others = (r.manifest["05_evaluation"].get("data") for r in (run, other))
    return data == others and run.settings.recipe() == other.settings.recipe()
