"""Finished runs, read from run folders and from the results that are committed with the lab.

``report/results/<experiment>/<run>/`` is a run folder cut down to what a comparison needs (no
weights, predicted classes for logits), so both are read by the same code.
"""

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from scipy.special import softmax

from lab_utils import LabError
from lab_utils.core.opening import tested_runs
from lab_utils.core.params import load_params, project_root, runs_dir
from lab_utils.core.run import METRICS, Run
from lab_utils.training.history import Epoch, read_history

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(gt=0, le=10**15)]


@dataclass(frozen=True, eq=False, config=ConfigDict(arbitrary_types_allowed=True))
class Result:
    """What one trained and tested run found. Accuracies are fractions of 1, losses in nats.

    The names from ``data`` to ``val_accuracy`` are those of metrics.json.
    """

    run: Run
    fingerprint: str  # of the data
    data: str  # "cifar10", "shapes" or "folder": what was used, also where the settings say auto
    parameters: _Count
    flops: _Count  # of one image's forward pass
    test_accuracy: _Share
    test_accuracy_low: _Share  # Wilson's 95% interval
    test_accuracy_high: _Share
    test_loss: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    test_images: _Count
    val_accuracy: _Share  # of the epoch that was chosen by it
    history: tuple[Epoch, ...]  # early stopping may have made it shorter than settings.epochs
    predicted: np.ndarray | None  # (test_images,) classes, in the order of the test split
    targets: np.ndarray | None  # (test_images,); None, as `predicted`, where no file has them
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

    Or where its predictions have another accuracy than metrics.json, which is of another run then.
    """
    run.require("05_evaluation")
    if run.done("04_training"):
        run.check("04_training", "figures", "checkpoints")  # a comparison opens no weights
    arrays = _predictions(run.file("predictions.npz"))
    history = tuple(read_history(run.file("history.csv")))
    metrics = run.read_json(METRICS)
    try:
        metrics["fingerprint"] = run.manifest["05_evaluation"]["data"]["fingerprint"]
        result = Result(run=run, history=history, **arrays, **metrics)
        _check(result)
        return result
    except ValidationError as error:
        wrong = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        why = f"damaged ({wrong})"
        if all(problem["type"] == "missing" for problem in error.errors()):
            why = f"damaged or of another version of the lab, without {wrong}"
        raise LabError(f"{run.file(METRICS)} is {why}; run 05_evaluation again.") from None
    except (KeyError, TypeError, AttributeError):
        raise LabError(
            f"{run.file('manifest.json')} is damaged; delete it and run again."
        ) from None


def _check(result: Result) -> None:
    """LabError where the accuracy in metrics.json is not that of the run's predictions."""
    if result.predicted is None:
        return
    right, images = int((result.predicted == result.targets).sum()), len(result.targets)
    if images != result.test_images or not math.isclose(right / images, result.test_accuracy):
        raise LabError(
            f"{result.run.file(METRICS)} has a test accuracy of {result.test_accuracy:.2%} over "
            f"{result.test_images:,} images, predictions.npz beside it {right / images:.2%} over "
            f"{images:,}: one is of another run; run 05_evaluation again."
        )


def _predictions(path: Path) -> dict[str, np.ndarray | None]:
    """Predicted classes and targets, (N,) integers, and probabilities (N, K)."""
    found = dict.fromkeys(("predicted", "targets", "probabilities"))
    if not path.is_file():
        return found
    try:
        with np.load(path) as stored:
            found |= {name: stored[name] for name in found if name in stored}
            if "logits" in stored:
                logits = stored["logits"]
                found |= {"predicted": logits.argmax(1), "probabilities": softmax(logits, axis=1)}
        if (p := found["probabilities"]) is not None and not np.isfinite(p).all():
            raise ValueError("a logit is not finite")
        if not 0 < found["predicted"].size == found["targets"].size == len(found["targets"]):
            raise ValueError("not a prediction for each image")
        return found
    except Exception:  # zip, zlib and NumPy raise many kinds for a damaged file
        raise LabError(f"{path} is damaged; run 05_evaluation of that run again.") from None


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
                    damaged[run.name] = str(error)
    return results
