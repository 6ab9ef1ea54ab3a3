"""Probabilities that can be believed: one temperature for all logits, and an average over seeds."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.core.run import Run, runs_dir

COLDEST, HOTTEST = 0.05, 20.0  # a split without an error would drive the temperature to zero


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The T in 0.05 to 20 with the least cross-entropy of ``logits / T`` (arXiv:1706.04599).

    (N, K) logits and (N,) targets of images that the test split does not hold. The cross-entropy
    has one minimum, as it is convex in 1 / T.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return torch.nn.functional.cross_entropy(scaled, targets).item()

    found = minimize_scalar(loss, bounds=np.log([COLDEST, HOTTEST]), method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def mean_probabilities(members: Sequence[Tensor]) -> Tensor:
    """The mean of the members' probabilities as (N, K) logits: softmax gives it back.

    ``members`` are the (N, K) logits of several networks for the same images.
    """
    log_probabilities = torch.stack([logits.double().log_softmax(1) for logits in members])
    return log_probabilities.logsumexp(0) - np.log(len(members))


def sibling_logits(run: Run, targets: Tensor, fingerprint: str) -> dict[int, Tensor]:
    """Test logits (N, K) of the tested runs beside ``run`` that differ from it in the seed alone.

    By seed. They must have used the data of ``fingerprint`` and the same test images, which have
    these ``targets`` (N,): with ``test_size`` each seed has test images of its own.
    """
    if run.path.parent != runs_dir():
        return {}
    found: dict[int, Tensor] = {}
    for folder in sorted(run.path.parent.iterdir()):
        try:
            other = Run.load(folder.name)
            entry = other.manifest.get("05_evaluation", {})
            same_data = entry.get("data", {}).get("fingerprint") == fingerprint
            seed = other.settings.seed
            if (
                entry.get("status") != "done"
                or not same_data
                or other.settings.recipe() != run.settings.recipe()
            ):
                continue
            with np.load(other.file("predictions.npz"), allow_pickle=False) as saved:
                logits, seen = saved["logits"], saved["targets"]
        except (LabError, OSError, KeyError, ValueError):
            continue  # not a run, or a damaged one
        if seed != run.settings.seed and np.array_equal(seen, targets.numpy()):
            found.setdefault(seed, torch.from_numpy(logits))
    return found
