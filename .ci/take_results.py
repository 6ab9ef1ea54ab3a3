"""Copy finished runs into report/results/, to be committed: `take_results.py RUN…`.

A run leaves what comparisons need, about 30 kB: settings, metrics, history, manifest, and of the
predictions the class of each test image. An ensemble needs their probabilities, 180 kB a run:
`take_results.py --probabilities RUN…`. No weights. The README.md there says how to make each.
"""

import argparse
import json
from pathlib import Path
import re
import shlex
import sys

import numpy as np

from lab_utils import LabError
from lab_utils.core.files import write_atomic, write_json, write_text
from lab_utils.core.manifest import written
from lab_utils.core.params import load_params
from lab_utils.core.run import RECORDS, Run
from lab_utils.core.settings import Settings
from lab_utils.experiments.results import Result, find, load, results_dir

_LOCAL = re.compile(r"/(?:[\w.-]+/)+|\b[A-Za-z]:\\")  # a path from a root


def main(words: list[str]) -> None:
    """Take the runs that ``words`` name, as `lab compare` understands them; rewrite README.md."""
    parser = argparse.ArgumentParser(prog="take_results.py")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--probabilities", action="store_true", help="of each test image, too")
    options = parser.parse_args(words)
    for result in find(*options.runs):
        target = results_dir() / result.run.settings.experiment / result.run.name
        take(result, target, options.probabilities)
        size = sum(path.stat().st_size for path in target.iterdir())
        print(f"{target.relative_to(results_dir().parent)}: {size / 1e3:.0f} kB")
    folders = [path.parent for path in sorted(results_dir().glob("*/*/metrics.json"))]
    write_text(results_dir() / "README.md", readme(folders))


def take(result: Result, target: Path, probabilities: bool = False) -> None:
    """Write the small files of ``result`` to ``target``; LabError where one names a local path."""
    run = result.run
    if result.data == "folder":
        raise LabError(f"Run {run.name!r} used images that nobody else has; it is not taken.")
    texts = {
        name: run.file(name).read_text(encoding="utf-8")
        for name in ("settings.yaml", "history.csv")
    }
    manifest = {step: run.manifest[step] for step in ("04_training", "05_evaluation")}
    metrics = run.read_json("metrics.json")
    for name, text in (texts | {"manifest.json": json.dumps([manifest, metrics])}).items():
        if found := _LOCAL.search(text):
            raise LabError(f"{name} of run {run.name!r} names a local path, {found[0]!r}.")
    for name, text in texts.items():
        write_text(target / name, text)
    write_json(target / "metrics.json", metrics)
    with np.load(run.file("predictions.npz")) as stored:
        saved = {name: getattr(result, name).astype(np.uint8) for name in ("predicted", "targets")}
        saved["classes"] = stored["classes"]
    if probabilities:
        if result.probabilities is None:
            raise LabError(
                f"Run {run.name!r} has no probabilities left; take it from its run folder."
            )
        saved["probabilities"] = result.probabilities.astype(np.float16)
    write_atomic(target / "predictions.npz", lambda path: np.savez_compressed(path, **saved))
    for step, entry in manifest.items():  # of what is here: weights are not, and these are cut down
        entry["sha256"] = written(target, step, RECORDS[step])
    write_json(target / "manifest.json", manifest)


def command(settings: Settings) -> str:
    """The one command that makes a run with these settings again."""
    usual = load_params().settings(settings.experiment).model_dump(mode="json")
    changed = [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in settings.model_dump(mode="json", exclude={"title"}).items()
        if value != usual[key]
    ]
    words = ["lab", "sweep", settings.experiment, *(["--set", *changed] if changed else [])]
    return shlex.join(words)


def readme(folders: list[Path]) -> str:
    """A table of the results in ``folders`` and the commands that made them."""
    lines = [
        "# Results of real runs",
        "",
        "What comparisons need of each run; weights are not kept. `lab compare report/results`",
        "compares them all. Written by `.ci/take_results.py`.",
        "",
        "| run | test accuracy | made at | the command |",
        "| --- | --- | --- | --- |",
    ]
    for run in map(Run.open, folders):
        result, made = load(run), run.manifest["04_training"]
        lines.append(
            f"| {run.name} | {result.test_accuracy:.2%} "
            f"| {made['git_commit'] or 'unknown'} | `{command(run.settings)}` |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LabError as error:
        raise SystemExit(str(error)) from None
