"""Finished runs, read from run folders and from the results that are committed with the lab.

``report/results/<experiment>/<run>/`` is a run folder cut down to what a comparison needs (no
weights, predicted classes for logits), so both are read by the same code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.special import softmax

from lab_utils import LabError
from lab_utils.core.opening import tested_runs
from lab_utils.core.params import load_params, project_root, runs_dir
from lab_utils.core.records import Metrics
from lab_utils.core.run import Run
from lab_utils.core.show import printable
from lab_utils.evaluation.metrics import counted, summarize
from lab_utils.evaluation.predictions import check_metrics, load_predictions
from lab_utils.training.history import Epoch, read_history


@dataclass(frozen=True, eq=False)
class Result:
    """What one trained and tested run found. Accuracies are fractions of 1, losses in nats.

    The fields from ``data`` to ``val_accuracy`` are those of ``Metrics``.
    """

    run: Run
    fingerprint: str  # of the data
    data: str  # "cifar10", "shapes" or "folder": what was used, also where the settings say auto
    parameters: int
    flops: int  # of one image's forward pass
    test_accuracy: float
    test_accuracy_low: float  # Wilson's 95% interval
    test_accuracy_high: float
    test_loss: float
    test_images: int
    val_accuracy: float  # of the epoch that was chosen by it
    history: tuple[Epoch, ...]  # early stopping may have made it shorter than settings.epochs
    predicted: np.ndarray  # (test_images,) classes, in the order of the test split
    targets: np.ndarray  # (test_images,)
    probabilities: np.ndarray | None  # (test_images, classes); few committed results have them

    @property
    def test_split(self) -> str:
        """What it was tested on: equal where two runs can be compared."""
        return f"{self.test_images:,} test images of {self.data} ({self.fingerprint})"


def results_dir() -> Path:
    """``report/results``: the results that are committed with the lab."""
    return project_root() / "report" / "results"


def load(run: Run) -> Result:
    """The result of ``run``; LabError where it is not tested, or a file is missing or damaged.

    Or where metrics.json has a figure that does not follow from the predictions, or another
    validation accuracy than the best in the history.
    """
    run.require("05_evaluation")
    if run.done("04_training"):
        run.check("04_training", "figures", "checkpoints")  # a comparison opens no weights
    predictions, figures = read_predictions(run.file("predictions.npz"))
    history = read_history(run.file("history.csv"))
    metrics = check_metrics(run, figures, history)
    data = run.manifest["05_evaluation"].get("data")
    if data is None:
        raise LabError(f"{run.file('manifest.json')} is damaged; delete it and run again.")
    noted = {
        f.name: getattr(metrics, f.name) for f in fields(Result) if f.name in Metrics.model_fields
    }
    return Result(run, data["fingerprint"], history=tuple(history), **predictions, **noted)


def read_predictions(path: Path) -> tuple[dict[str, np.ndarray | None], dict[str, float]]:
    """Predicted classes and targets, (N,) integers, probabilities (N, K); what follows from them.

    Of classes alone, as a committed result has them, fewer figures follow than of logits.
    Raises LabError where the file is missing or damaged.
    """
    try:
        if not path.is_file():  # nor a pipe, which would be waited for
            raise FileNotFoundError(path)
        with np.load(path, allow_pickle=False) as stored:
            if "logits" not in stored:
                return _of_classes(stored)
    except Exception as error:  # zip, zlib and NumPy raise many kinds for a damaged file
        what = f"{path} is missing or damaged ({type(error).__name__})"
        raise LabError(f"{what}; run 05_evaluation of that run again.") from None
    logits, targets, _ = load_predictions(path)
    found = {"predicted": logits.argmax(1), "targets": targets}
    return found | {"probabilities": softmax(logits, axis=1)}, summarize(logits, targets)


def _of_classes(
    stored: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray | None], dict[str, float]]:
    found = {name: stored.get(name) for name in ("predicted", "targets", "probabilities")}
    classes, shares = len(stored["classes"]), found["probabilities"]
    if shares is not None:
        whole = shares.shape == (len(found["targets"]), classes) and shares.dtype.char in "efd"
        if not whole or not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError("not a probability for each image and class")
        largest = shares[np.arange(len(shares)), found["predicted"]] >= shares.max(1)
        if not largest.all() or not np.allclose(shares.sum(1, dtype=np.float64), 1, atol=0.01):
            raise ValueError("not the probabilities of the predicted classes")
    return found, counted(found["predicted"], found["targets"], classes)


def find(*words: str, damaged: dict[str, str] | None = None) -> list[Result]:
    """The finished runs that ``words`` name, each once.

    A word is a folder (a run's, or one that holds runs, such as ``report/results``), the name of an
    experiment, which stands for all its finished runs, or the name of a run. Names are looked up in
    the run folders and, where those have none, in the committed results; runs there that cannot be
    opened are left out, and ``damaged`` takes why, by name.
    Raises LabError where a word names nothing, or nothing that has finished.
    """
    runs = {run.path.resolve(): run for word in words for run in _named(word, damaged)}
    return [load(run) for run in runs.values()]


def _named(word: str, damaged: dict[str, str] | None) -> list[Run]:
    if runs := tested_runs(Path(word), damaged):
        return runs
    for place in (runs_dir(), results_dir()):
        runs = tested_runs(place, damaged)
        of_experiment = [run for run in runs if run.settings.experiment == word]
        if named := of_experiment or [run for run in runs if run.name == word]:
            return named
    for folder in (Path(word), runs_dir() / word):
        if (folder / "settings.yaml").is_file():
            return [Run.open(folder)]  # loading its result says what is missing
    if word in load_params().experiments:
        raise LabError(f"No run of experiment {word!r} has finished; `lab sweep {word}` makes one.")
    raise LabError(f"{word!r} is no finished run, experiment or folder of results; see `lab list`.")


def find_all(*folders: Path, damaged: dict[str, str] | None = None) -> list[Result]:
    """The finished runs below ``folders``, or all there are.

    Damaged ones are left out; ``damaged`` takes what is wrong with each, by the run's name.
    """
    results = []
    for place in dict.fromkeys(folders or (runs_dir(), results_dir())):  # each once
        for run in tested_runs(place, damaged):
            try:
                results.append(load(run))
            except LabError as error:
                if damaged is not None:
                    damaged[run.name] = printable(str(error))
    return results
