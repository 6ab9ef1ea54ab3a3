"""``lab verify``: whether a run's files are as its notebooks left them, and agree; and a rerun.

``lab list`` looks at no checksum, so that it stays quick; the notebooks and ``lab report`` look at
those of the files they use. This looks at all of them, and computes again what can be.
"""

from collections.abc import Callable
import os
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from lab.sweep import STEPS as TRAINED
from lab_utils import LabError
from lab_utils.core.manifest import altered
from lab_utils.core.records import Hardware, Metrics, Training, close, read
from lab_utils.core.run import RECORDS, Run

# How far the accuracy of a rerun may lie off where something differs that rounding follows from
# (another processor, version or number of threads). Rounding grows in a training until it is like
# another seed: of the recipes in report/results the most restless one has a standard deviation of
# 2.2 points between seeds, so 95% of the differences of two seeds are below 1.96 * sqrt(2) * 2.2.
BAND = 0.06


class Finding(NamedTuple):
    """What was looked at, what was found, and whether that is as it should be."""

    what: str
    found: str
    good: bool = True


def verify(run: Run) -> list[Finding]:
    """The findings about the files of ``run``; LabError where no step of it has finished."""
    done = [step for step in RECORDS if run.done(step)]
    if not done:
        raise LabError(f"Run {run.name!r} has no finished step to verify; run 01_setup first.")
    findings = [_files(run, step) for step in done]
    # A committed result has no weights, and no checksums that would miss them.
    noted = run.manifest.get("04_training", {}).get("sha256")
    if "04_training" in done and (noted or run.file("checkpoints/best.pt").exists()):
        findings += [_checked("history", _history, run), _checked("weights", _weights, run)]
    if "05_evaluation" in done:
        findings += [_checked("metrics", _metrics, run)]
    return findings


def _files(run: Run, step: str) -> Finding:
    noted = run.manifest[step].get("sha256")
    if not noted:
        return Finding(step, "no checksums: an older lab made it")
    if wrong := list(altered(run.path, step, noted)):
        return Finding(step, f"not as it left them: {', '.join(wrong)}; run it again", False)
    return Finding(step, f"{len(noted)} files as it left them")


def _checked(what: str, look: Callable[[Run], str], run: Run) -> Finding:
    """What ``look`` finds; what it raises is the finding where something is wrong."""
    try:
        return Finding(what, look(run))
    except LabError as error:
        return Finding(what, str(error), False)


def _history(run: Run) -> str:
    """The rows of history.csv, against what 04 recorded."""
    from lab_utils.training.history import best_of, read_history

    rows, training = read_history(run.file("history.csv")), read(run, Training)
    best = best_of(rows).val_accuracy
    if len(rows) != training.epochs or not close(best, training.best_val_accuracy):
        raise LabError("history.csv is not that of training.json; run 04_training again.")
    return f"{len(rows)} epochs, the best as training.json has it"


def _weights(run: Run) -> str:
    """The weights in best.pt, against the history."""
    from lab_utils.model.summary import count_parameters
    from lab_utils.training.checkpoints import load_best
    from lab_utils.training.history import best_of, read_history

    network, best = load_best(run.file("checkpoints/best.pt"))
    row = best_of(read_history(run.file("history.csv")))
    if best.epoch != row.epoch or not close(best.val_accuracy, row.val_accuracy):
        raise LabError("best.pt is not of the training in history.csv; run 04_training again.")
    return f"{count_parameters(network):,} parameters, of epoch {best.epoch}"


def _metrics(run: Run) -> str:
    """The figures of merit, computed again; the validation accuracy is held against the history."""
    from lab_utils.evaluation.predictions import check_metrics
    from lab_utils.experiments.results import read_predictions
    from lab_utils.training.history import read_history

    predictions, computed = read_predictions(run.file("predictions.npz"))
    check_metrics(run, computed, read_history(run.file("history.csv")))
    return f"{len(computed)} figures follow from {len(predictions['targets']):,} predictions"


def rerun(run: Run) -> list[Finding]:
    """Train and test again with the settings of ``run``, in a temporary folder, and compare.

    With as many threads as ``run`` had at its end. Raises LabError where that cannot be done.
    """
    run.require("04_training")
    run.require("05_evaluation")
    from lab.runner import execute

    threads = _conditions(run)["threads"]  # before the training, which takes its time
    settings = run.settings.model_copy(update={"threads": threads[-1]})
    before = os.environ.get("LAB_RUNS_DIR")
    with TemporaryDirectory(prefix="lab-verify-") as folder:
        os.environ["LAB_RUNS_DIR"] = folder
        try:
            again = Run.create(settings, run.name)
            execute(again, TRAINED)
            return compare(run, again)
        finally:
            del os.environ["LAB_RUNS_DIR"]
            if before is not None:
                os.environ["LAB_RUNS_DIR"] = before


def compare(run: Run, again: Run) -> list[Finding]:
    """Whether ``again`` came out as ``run``: to the last bit, or within BAND where not the same."""
    import torch

    from lab_utils.training.checkpoints import load_checkpoint

    files = (r.file("checkpoints/best.pt") for r in (run, again))
    first, second = (load_checkpoint(file)["model"] for file in files)
    same = first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    differ, (one, other) = _differences(run, again), [read(r, Metrics) for r in (run, again)]
    low, high = one.test_accuracy_low, one.test_accuracy_high
    found, allowed = abs(one.test_accuracy - other.test_accuracy), 0.0
    why = "nothing differs"
    if differ:  # and chance, on as few test images as there may be
        allowed, why = BAND + (high - low) / 2, f"other {', '.join(differ)}"
    weights = "the same to the last bit" if same else f"not the same bits; {why}"
    accuracy = f"{100 * found:.2f} points off, allowed {100 * allowed:.2f} ({why})"
    return [
        Finding("rerun: weights", weights, same or bool(differ)),
        Finding("rerun: test accuracy", accuracy, found <= allowed),
    ]


def _differences(run: Run, again: Run) -> list[str]:
    """What differs of all that the last bits of a training hang on; LabError for other data."""
    from lab_utils.setup.check import cpu_name

    first, second = _conditions(run), _conditions(again) | {"processor": cpu_name()}
    if first.pop("data") != second.pop("data"):
        raise LabError(f"Run {run.name!r} used other data; restore them, then verify it again.")
    changed = ["uncommitted code"] if str(second["code"]).endswith("+changes") else []
    return changed + [name for name in second if first.get(name) != second[name]]


def _conditions(run: Run) -> dict[str, Any]:
    """Under which conditions ``run`` was trained; LabError where it does not tell all of them."""
    machine = read(run, Hardware) if run.file(Hardware.file()).is_file() else None
    entry, training = run.manifest["04_training"], read(run, Training)
    mend = "make it again with `lab run` and another name"
    untold = LabError(f"Run {run.name!r} does not tell how it was trained; {mend}.")
    if training.threads is None or (machine and machine.cpu is None):
        raise untold
    try:
        return {
            **entry["versions"], "code": entry["git_commit"], "python": entry["python"],
            "device": training.device, "precision": training.precision,
            "threads": [choice.threads for choice in training.threads],
            "processor": machine and machine.cpu, "data": entry["data"],
        }  # fmt: skip
    except KeyError:
        raise untold from None
