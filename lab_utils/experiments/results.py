"""Finished runs, read from run folders and from the results that are committed with the lab.

``report/results/<experiment>/<run>/`` is a run folder cut down to what a comparison needs (no
weights, predicted classes for logits), so both are read by the same code.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import zipfile

import numpy as np

from lab_utils import LabError
from lab_utils.core.files import read_json
from lab_utils.core.params import load_params, project_root
from lab_utils.core.run import Run, runs_dir
from lab_utils.core.settings import Settings
from lab_utils.training.history import read_history


@dataclass(frozen=True, eq=False)
class Result:
    """What one trained and tested run found. Accuracies are fractions of 1, losses in nats."""

    name: str  # of the run folder
    folder: Path
    settings: Settings
    data: str  # "cifar10", "shapes" or "folder": what was used, also where the settings say auto
    fingerprint: str  # of these data
    parameters: int
    flops: int | None  # of one image's forward pass; None where it cannot be counted
    epochs: int  # trained, which early stopping may have made fewer than were asked for
    train_seconds: float
    test_accuracy: float
    low: float  # Wilson's 95% interval of the test accuracy
    high: float
    test_loss: float
    test_images: int
    val_accuracy: float  # of the epoch that was chosen by it
    history: tuple[dict[str, float], ...]  # the rows of history.csv
    predicted: np.ndarray | None  # (test_images,) uint8 classes, in the order of the test split
    targets: np.ndarray | None  # (test_images,) uint8; None with `predicted` where the file lacks

    @property
    def experiment(self) -> str:
        """The name in ``params.yaml``."""
        return self.settings.experiment

    @property
    def model(self) -> str:
        """The network's name."""
        return self.settings.model

    @property
    def seed(self) -> int:
        """What it was trained with."""
        return self.settings.seed


def results_dir() -> Path:
    """``report/results``: the results that are committed with the lab."""
    return project_root() / "report" / "results"


def find(*words: str) -> list[Result]:
    """The finished runs that ``words`` name, each once.

    A word is a folder (a run's, or one that holds runs, such as ``report/results``), the name of an
    experiment, which stands for all its finished runs, or the name of a run. Names are looked up in
    the run folders and, where those have none, in the committed results.
    Raises LabError where a word names nothing, or nothing that has finished.
    """
    found: dict[Path, Result] = {}
    for word in words:
        for folder in _folders(word):
            found.setdefault(folder.resolve(), load(folder))
    return list(found.values())


def load(folder: Path) -> Result:
    """The result in a run folder or a folder of ``report/results``.

    Raises LabError where 05_evaluation has not finished or a file is missing or damaged.
    """
    run = Run.open(folder)
    run.require("05_evaluation")

    metrics, data = run.read_json("metrics.json"), run.manifest["05_evaluation"].get("data", {})
    predicted, targets, classes = _predictions(run.file("predictions.npz"))
    history = tuple(read_history(run.file("history.csv")))
    try:
        flops = metrics.get("flops")
        return Result(
            name=run.name,
            folder=run.path,
            settings=run.settings,
            data=metrics["data"],
            fingerprint=data["fingerprint"],
            parameters=metrics["parameters"],
            flops=_flops(run, classes) if flops is None else flops,
            epochs=len(history),
            train_seconds=metrics["train_seconds"],
            test_accuracy=metrics["test_accuracy"],
            low=metrics["test_accuracy_low"],
            high=metrics["test_accuracy_high"],
            test_loss=metrics["test_loss"],
            test_images=metrics["test_images"],
            val_accuracy=metrics["val_accuracy"],
            history=history,
            predicted=predicted,
            targets=targets,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise LabError(
            f"{run.file('metrics.json')} or manifest.json is damaged ({error}); run "
            "05_evaluation of that run again."
        ) from None


def finished(folder: Path) -> list[Path]:
    """The run folders among ``folder``, its subfolders and theirs whose test has finished."""
    candidates = [folder, *sorted(folder.glob("*")), *sorted(folder.glob("*/*"))]
    return [path for path in candidates if _is_finished(path)]


def _is_finished(folder: Path) -> bool:
    try:
        manifest = read_json(folder / "manifest.json")
        tested = manifest["05_evaluation"]["status"] == "done"
        return tested and (folder / "settings.yaml").is_file()
    except (LabError, KeyError, TypeError):
        return False


def _folders(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir() and (folders := finished(path)):
        return folders
    for place in (runs_dir(), results_dir()):
        folders = [] if not place.is_dir() else finished(place)
        named = [f for f in folders if _experiment(f) == word] or [
            f for f in folders if f.name == word
        ]
        if named:
            return named
    if (runs_dir() / word / "settings.yaml").is_file():
        raise LabError(f"Run {word!r} has no finished 05_evaluation: run it to its end first.")
    if word in load_params()["experiments"]:
        raise LabError(f"No run of experiment {word!r} has finished; `lab sweep {word}` makes one.")
    raise LabError(
        f"{word!r} is no finished run, no experiment and no folder of results; `lab list` shows "
        "what is there."
    )


def _experiment(folder: Path) -> str | None:
    try:
        return Run.open(folder).settings.experiment
    except LabError:
        return None


def _predictions(path: Path) -> tuple[np.ndarray | None, np.ndarray | None, int]:
    """Predicted classes and targets, (N,) uint8, and the number of classes."""
    try:
        with np.load(path) as stored:
            predicted = stored["logits"].argmax(1) if "logits" in stored else stored["predicted"]
            targets, classes = stored["targets"], len(stored["classes"])
            return predicted.astype(np.uint8), targets.astype(np.uint8), classes
    except FileNotFoundError:
        return None, None, 10
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise LabError(f"{path} is damaged; run 05_evaluation of that run again.") from None


def _flops(run: Run, classes: int) -> int | None:
    """What 03_model counted, or would count: a sweep does not run that notebook."""
    if run.done("03_model"):
        return run.read_json("model.json")["flops"]
    from lab_utils.model import networks
    from lab_utils.model.build import model_options
    from lab_utils.model.summary import count_flops  # loads torch

    settings = run.settings
    size = settings.image_size if settings.data == "folder" else 32
    try:
        model = networks.build(settings.model, classes, size, **model_options(settings))
        return count_flops(model, size)
    except LabError:
        return None


def gather(*folders: Path) -> list[Result]:
    """The finished runs below ``folders``; without any, of ``runs/`` and ``report/results``.

    Those that are damaged have no figures to compare with and are left out.
    """
    results = []
    for place in folders or (runs_dir(), results_dir()):
        for folder in finished(place) if place.is_dir() else []:
            try:
                results.append(load(folder))
            except LabError:
                continue
    return results


def around_run(run: Run) -> tuple[list[Result], dict[str, int]]:
    """``run`` and what may stand in one table with it, ``run`` first; and what may not.

    Compared are the runs beside it and those in ``report/results`` that used the same data and test
    split. Of the others, how many there are by the name of their data.
    Raises LabError where ``run`` itself has no result.
    """
    own = load(run.path)
    places = [runs_dir()] if run.path.parent == runs_dir() else []
    others = [result for result in gather(*places, results_dir()) if result.folder != run.path]
    apart = Counter(result.data for result in others if not _alike(own, result))
    return [own, *(result for result in others if _alike(own, result))], dict(apart)


def largest(results: Sequence[Result]) -> list[Result]:
    """Of ``results`` those on the data that most of them used."""
    counts = Counter((result.fingerprint, result.test_images) for result in results)
    most = counts.most_common(1)[0][0] if counts else None
    return [result for result in results if (result.fingerprint, result.test_images) == most]


def _alike(a: Result, b: Result) -> bool:
    return (a.fingerprint, a.test_images) == (b.fingerprint, b.test_images)
