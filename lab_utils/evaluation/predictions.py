"""The logits of the test images, kept for others to read, and averaged over several runs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.opening import tested_runs
from lab_utils.core.records import Metrics, close, read
from lab_utils.core.run import Run
from lab_utils.training.history import Epoch, best_of


class Predictions(NamedTuple):
    """What a network answered, in the order of the test images."""

    logits: np.ndarray  # (N, K) float32
    targets: np.ndarray  # (N,) int64
    classes: tuple[str, ...]


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write them, atomically; tensors on the CPU are saved as arrays."""
    write_atomic(path, lambda file: np.savez_compressed(file, **predictions._asdict()))


def load_predictions(path: Path) -> Predictions:
    """What ``save_predictions`` wrote; LabError where it is missing or damaged."""
    try:
        if not path.is_file():  # nor a pipe, which would be waited for
            raise FileNotFoundError(path)
        with np.load(path, allow_pickle=False) as saved:
            logits, targets = saved["logits"], saved["targets"]
            kept = Predictions(logits, targets, tuple(saved["classes"].tolist()))
        if targets.ndim != 1 or targets.dtype.kind not in "iu" or not len(targets):
            raise ValueError("not a whole number for each image")
        if not ((targets >= 0) & (targets < len(kept.classes))).all():
            raise ValueError("a target is no class")
        shape = len(targets), len(kept.classes)
        if logits.dtype.char not in "efd" or logits.shape != shape:  # half, single, double
            raise ValueError("not a logit for each image and class")
        if not np.isfinite(logits).all():
            raise ValueError("a logit is not finite")
        return kept
    except Exception as error:  # zip, zlib and NumPy raise many kinds for a damaged file
        raise LabError(
            f"{path} is missing or damaged ({type(error).__name__}); run 05_evaluation again."
        ) from None


def check_metrics(run: Run, computed: Mapping[str, float], history: Sequence[Epoch]) -> Metrics:
    """The metrics of ``run``; LabError where one is not what ``run``'s other files give.

    ``computed`` follow from its predictions, the epochs and the best one's validation accuracy from
    its ``history``; rounding may differ, and NaN is None in a file.
    """
    noted, best = read(run, Metrics), best_of(history)
    trained = {"epochs": len(history), "best_epoch": best.epoch, "val_accuracy": best.val_accuracy}
    computed = {**computed, **trained}
    wrong = [name for name, value in computed.items() if not close(getattr(noted, name), value)]
    if wrong:
        raise LabError(
            f"{run.file(Metrics.file())} does not follow from predictions.npz and history.csv "
            f"beside it ({', '.join(wrong)}): one is of another run or was changed; run "
            "05_evaluation again."
        )
    return noted


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

    def trained_on(of: Run) -> tuple[object, object]:
        return of.settings.recipe(), of.manifest["05_evaluation"].get("data")

    found: dict[int, np.ndarray] = {}
    for other in tested_runs(run.path.parent):
        if trained_on(other) == trained_on(run):
            with suppress(LabError):  # damaged predictions, or another run's
                other.require("05_evaluation")
                logits, seen, _ = load_predictions(other.file("predictions.npz"))
                if np.array_equal(seen, targets):
                    found.setdefault(other.settings.seed, logits)
    found.pop(run.settings.seed, None)
    return found
