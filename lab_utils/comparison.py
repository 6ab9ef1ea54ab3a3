"""Tested runs side by side: one row per experiment, the seeds of an experiment taken together."""

from collections import defaultdict
import json
from statistics import mean, stdev
from typing import Any

from lab_utils import LabError
from lab_utils.run import Run, runs_dir

Results = dict[str, float]
_KEYS = ("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss", "train_seconds")


def experiments(run: Run) -> list[dict[str, Any]]:
    """``run`` and the tested runs beside it that used the same data, best accuracy first.

    A row has ``experiment``, ``changed`` (settings in which it differs from its namesakes),
    ``model``, ``seeds`` (how many), means over the seeds (``accuracy``, ``loss``, ``seconds``), the
    95% interval ``low`` to ``high``, and ``this`` (whether ``run`` is in it). With several seeds
    the interval is Student's, of their mean; with one it is Wilson's, of the test images.
    """
    groups = {key: list(seeds.values()) for key, seeds in _by_settings(run).items()}
    settings = {key: json.loads(key) for key in groups}
    own = json.dumps(_recipe(run))
    rows = []
    for key, results in groups.items():
        mine = settings[key]
        namesakes = [s for s in settings.values() if s["experiment"] == mine["experiment"]]
        changed = [name for name in mine if any(s[name] != mine[name] for s in namesakes)]
        low, high = _interval(results)
        rows.append(
            {
                "experiment": mine["experiment"],
                "changed": ", ".join(f"{name}={mine[name]}" for name in changed),
                "model": mine["model"],
                "seeds": len(results),
                "accuracy": mean(r["test_accuracy"] for r in results),
                "low": low,
                "high": high,
                "loss": mean(r["test_loss"] for r in results),
                "seconds": mean(r["train_seconds"] for r in results),
                "this": key == own,
            }
        )
    return sorted(rows, key=lambda row: -row["accuracy"])


def _recipe(run: Run) -> dict[str, Any]:
    return run.settings.model_dump(exclude={"seed", "title"})


def _by_settings(run: Run) -> dict[str, dict[int, Results]]:
    """Results by settings (as JSON, the seed left out) and seed; ``run``'s own come first."""
    groups: dict[str, dict[int, Results]] = defaultdict(dict)
    data = run.manifest["05_evaluation"].get("data", {}).get("fingerprint")
    beside = sorted(run.path.parent.iterdir()) if run.path.parent == runs_dir() else []
    for folder in (run.path, *beside):
        try:
            other = run if folder == run.path else Run.load(folder.name)
            entry = other.manifest.get("05_evaluation", {})
            same_data = entry.get("data", {}).get("fingerprint") == data
            if entry.get("status") == "done" and same_data:
                metrics = other.read_json("metrics.json")
                results = {key: metrics[key] for key in _KEYS}
                groups[json.dumps(_recipe(other))].setdefault(other.settings.seed, results)
        except (LabError, KeyError):
            continue  # not a run, or a damaged one: it has no figures to compare with
    return groups


def _interval(results: list[Results]) -> tuple[float, float]:
    if len(results) == 1:
        return results[0]["test_accuracy_low"], results[0]["test_accuracy_high"]
    from scipy.stats import t  # slow to load, and rarely needed

    accuracies = [r["test_accuracy"] for r in results]
    half = float(t.ppf(0.975, len(results) - 1)) * stdev(accuracies) / len(results) ** 0.5
    return max(0.0, mean(accuracies) - half), min(1.0, mean(accuracies) + half)
