"""What each command of ``lab`` does: ``do_list`` for ``lab list``; prints, gives an exit code."""

import argparse
import os
from pathlib import Path
import subprocess
import sys
import time

from lab import kernels
from lab.runner import execute, parse_step, pending, result
from lab.sweep import parse_grid, plan, sweep
from lab_utils import LabError
from lab_utils.core.params import load_params, parse_assignments, project_root, resolve
from lab_utils.core.records import Metrics, read
from lab_utils.core.run import STEPS, Run, runs_dir
from lab_utils.core.show import Table


def do_run(options: argparse.Namespace) -> None:
    started = time.perf_counter()
    settings = resolve(options.experiment, parse_assignments(options.set))
    start = parse_step(options.start) if options.start else None
    run = Run.create(settings, options.name)
    steps = pending(run, start, options.all)
    print(f"{settings.title or settings.experiment}: run folder {_relative(run.path)}")
    if steps:
        kernels.start_fork_server()
    else:
        print("Every step is done; `--from 01` runs them again.")
    import lab.report  # noqa: F401 - takes a second, in which the fork server imports too
    from lab_utils.data.sources import cifar10_found_now

    if "02_data" not in steps and (hint := cifar10_found_now(run)):
        print(hint)
    execute(run, steps, start)
    report, seconds = _written(run), time.perf_counter() - started
    print(f"{result(run)}, wall time {seconds:.0f} s, report {report}")


def do_sweep(options: argparse.Namespace) -> int:
    changes, grid = parse_assignments(options.set), parse_grid(options.grid)
    settings = plan(options.experiments, changes, grid, options.ablate, options.seeds)
    print(f"runs: {len(settings)}, in {_relative(runs_dir())}")
    failed = sweep(settings)
    print(f"`lab compare {' '.join(dict.fromkeys(options.experiments))}` compares them")
    for name, sentence in failed.items():
        print(f"lab: {name} failed: {sentence}", file=sys.stderr)
    return 1 if failed else 0  # the same command tries the failed ones again


def do_compare(options: argparse.Namespace) -> None:
    from lab_utils.experiments.recipes import named, table, write_csv
    from lab_utils.experiments.significance import paragraph

    damaged: dict[str, str] = {}
    groups = named(*options.runs, damaged=damaged)
    for name, why in damaged.items():
        print(f"lab: left out, {name}: {why}", file=sys.stderr)
    print(table(groups), end="\n\n", flush=True)
    if options.csv:
        write_csv(options.csv, groups)
    print("\n".join(paragraph(groups)))


def do_report(options: argparse.Namespace) -> None:
    print(f"report {_written(_existing(options.name))}")


def _written(run: Run) -> str:
    """Write the report of ``run`` and print what is still missing in it; where the report is."""
    from lab.report import build
    from lab.student import reminders

    report = _relative(build(run))
    for sentence in reminders(run):
        print(sentence)
    return report


def do_verify(options: argparse.Namespace) -> int:
    from lab.verify import rerun, verify

    run = _existing(options.name)
    findings = verify(run)
    if options.rerun and all(finding.good for finding in findings):
        findings += rerun(run)
    print(Table([f._asdict() | {"good": "yes" if f.good else "NO"} for f in findings]))
    return 0 if all(finding.good for finding in findings) else 1


def do_serve(options: argparse.Namespace) -> None:
    from lab.serve.server import serve

    serve(_existing(options.name), options.port)


def do_open(options: argparse.Namespace) -> int:
    """JupyterLab at the project's folder, where links to runs and solutions work."""
    page = "/lab/tree/notebooks/01_setup.ipynb"
    arguments = [f"--ServerApp.root_dir={project_root()}", f"--LabApp.default_url={page}"]
    # Or its page would ask the network for a newer one.
    arguments += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command = [sys.executable, "-m", "jupyterlab", *arguments]
    if os.name == "posix":  # this process becomes JupyterLab, which signals then reach
        os.execv(sys.executable, command)
    return subprocess.call(command)


def do_list(options: argparse.Namespace) -> None:
    rows = [_row(path.parent.name) for path in sorted(runs_dir().glob("*/settings.yaml"))]
    print(Table(rows) if rows else "No runs yet; `lab run` makes one.")
    print(f"\nexperiments: {', '.join(load_params().experiments)}")


def _row(name: str) -> dict[str, str | None]:
    """What `lab list` says of the run ``name``."""
    try:
        run = Run.load(name)
        data = [entry["data"]["name"] for entry in run.manifest.values() if "data" in entry]
        accuracy = read(run, Metrics).test_accuracy if run.done("05_evaluation") else None
        return {
            "run": name, "experiment": run.settings.experiment, "data": data[0] if data else None,
            "model": run.settings.model,
            "steps": f"{sum(run.done(step) for step in STEPS)}/{len(STEPS)}",
            "test accuracy": None if accuracy is None else f"{accuracy:.2%}",
            "report": "yes" if run.file("report.pdf").is_file() else "no",
        }  # fmt: skip
    except LabError:  # one bad run must not hide the others
        return {"run": name, "experiment": "(damaged)"}


def _existing(name: str) -> Run:
    """The run ``name``, or the one in the folder whose absolute path that is."""
    if Path(name).name != name and not Path(name).is_absolute():
        raise LabError(f"{name!r} is no run; give its name, or its folder's absolute path.")
    return Run.load(name)


def _relative(path: Path) -> str:
    """``path`` as seen from the working directory where that is shorter."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
