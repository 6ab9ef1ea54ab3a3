"""The ``lab`` command: parses, calls, prints; everything it does lives in the other modules."""

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
from lab_utils.core import process
from lab_utils.core.params import load_params, parse_assignments, project_root, resolve
from lab_utils.core.run import METRICS, STEPS, Run, runs_dir
from lab_utils.core.show import Table


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 done, 1 where some runs of a sweep failed or a run is not as it was left, 2 for an error, 130
    for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the console lacks is shown as "?"
            stream.reconfigure(errors="replace", line_buffering=True)
    options = _parser().parse_args(arguments)
    process.prepare()  # before torch is loaded here, and for the kernels, which inherit it
    try:
        return options.command(options) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `lab list | head -1`: nobody reads on, and there is nothing to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error
        print(f"lab: {what}; check the disk and the folder's rights.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nlab: stopped; the same command goes on from the last whole epoch.", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="The CIFAR-10 lab.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    many = {"nargs": "+", "action": "extend", "default": []}
    change = {**many, "metavar": "KEY=VALUE", "help": "change settings, such as --set epochs=3"}

    run = commands.add_parser("run", help="execute the six notebooks and write the PDF report")
    run.add_argument("experiment", nargs="?", default="quick", help="a name from params.yaml")
    run.add_argument("--name", help="the run folder under runs/ (default: after the experiment)")
    run.add_argument("--set", **change)
    run.add_argument("--from", dest="start", metavar="STEP", help="run this and later steps again")
    run.add_argument("--all", action="store_true", help="the optional notebooks 08 and 09 too")
    run.set_defaults(command=_run)

    sweep = commands.add_parser("sweep", help="train and test many runs, to compare them")
    sweep.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="from params.yaml")
    sweep.add_argument("--seeds", type=int, metavar="N", help="run each with the seeds 0 to N-1")
    sweep.add_argument("--set", **change)
    sweep.add_argument(
        "--grid", **many, metavar="KEY=VALUE,VALUE",
        help="run every combination, for example --grid lr=1e-3,5e-4 batch_size=64,128",
    )  # fmt: skip
    sweep.add_argument(
        "--ablate", **many, metavar="KEY[=VALUE]",
        help="run the recipe, and again with each of these alone changed (without =: left out)",
    )  # fmt: skip
    sweep.set_defaults(command=_sweep)

    compare = commands.add_parser("compare", help="set finished runs side by side, with tests")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="a run, experiment or folder")
    compare.add_argument("--csv", type=Path, metavar="FILE", help="write the table to FILE as well")
    compare.set_defaults(command=_compare)

    report = commands.add_parser("report", help="write the PDF report of a run again")
    report.add_argument("name", help="a run; `lab list` shows them")
    report.set_defaults(command=_report)

    verify = commands.add_parser("verify", help="check that the files of a run are its own")
    verify.add_argument("name", help="a run; `lab list` shows them")
    verify.add_argument("--rerun", action="store_true", help="train and test again, and compare")
    verify.set_defaults(command=_verify)

    serve = commands.add_parser("serve", help="offer the model of a run as a page and to programs")
    serve.add_argument("name", help="a run; `lab list` shows them")
    serve.add_argument("--port", type=int, default=8000, help="of 127.0.0.1; 0: any free one")
    serve.set_defaults(command=_serve)
    commands.add_parser("open", help="open notebook 01 in JupyterLab").set_defaults(command=_open)
    commands.add_parser("list", help="show runs and experiments").set_defaults(command=_list)
    return parser


def _run(options: argparse.Namespace) -> None:
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
    if steps:
        execute(run, steps, start)
    report, seconds = _written(run), time.perf_counter() - started
    print(f"{result(run)}, wall time {seconds:.0f} s, report {report}")


def _sweep(options: argparse.Namespace) -> int:
    changes, grid = parse_assignments(options.set), parse_grid(options.grid)
    settings = plan(options.experiments, changes, grid, options.ablate, options.seeds)
    print(f"runs: {len(settings)}, in {_relative(runs_dir())}")
    failed = sweep(settings)
    print(f"`lab compare {' '.join(dict.fromkeys(options.experiments))}` compares them")
    for name, sentence in failed.items():
        print(f"lab: {name} failed: {sentence}", file=sys.stderr)
    return 1 if failed else 0  # the same command tries the failed ones again


def _compare(options: argparse.Namespace) -> None:
    from lab_utils.experiments.recipes import named, table, write_csv
    from lab_utils.experiments.significance import paragraph

    groups = named(*options.runs)
    print(table(groups), end="\n\n", flush=True)
    if options.csv:
        write_csv(options.csv, groups)
    print("\n".join(paragraph(groups)))


def _report(options: argparse.Namespace) -> None:
    print(f"report {_written(Run.load(options.name))}")


def _written(run: Run) -> str:
    """Write the report of ``run`` and print what is still missing in it; where the report is."""
    from lab.report import build
    from lab.student import reminders

    report = _relative(build(run))
    for sentence in reminders(run):
        print(sentence)
    return report


def _verify(options: argparse.Namespace) -> int:
    from lab.verify import rerun, verify

    run = Run.load(options.name)
    findings = verify(run)
    if options.rerun and all(finding.good for finding in findings):
        findings += rerun(run)
    print(Table([f._asdict() | {"good": "yes" if f.good else "NO"} for f in findings]))
    return 0 if all(finding.good for finding in findings) else 1


def _serve(options: argparse.Namespace) -> None:
    from lab.serve.server import serve

    serve(Run.load(options.name), options.port)


def _open(options: argparse.Namespace) -> int:
    """JupyterLab at the project's folder, where links to runs and solutions work."""
    page = "/lab/tree/notebooks/01_setup.ipynb"
    arguments = [f"--ServerApp.root_dir={project_root()}", f"--LabApp.default_url={page}"]
    return subprocess.call([sys.executable, "-m", "jupyterlab", *arguments])


def _list(options: argparse.Namespace) -> None:
    rows = [_row(path.parent.name) for path in sorted(runs_dir().glob("*/settings.yaml"))]
    print(Table(rows) if rows else "No runs yet; `lab run` makes one.")
    print(f"\nexperiments: {', '.join(load_params().experiments)}")


def _row(name: str) -> dict[str, str | None]:
    """What `lab list` says of the run ``name``."""
    try:
        run = Run.load(name)
        data = [entry["data"]["name"] for entry in run.manifest.values() if "data" in entry]
        accuracy = run.read_json(METRICS)["test_accuracy"] if run.done("05_evaluation") else None
        if not 0 <= (accuracy or 0) <= 1:  # all that is checked: a list must stay quick
            raise ValueError(accuracy)
        return {
            "run": name, "experiment": run.settings.experiment, "data": data[0] if data else None,
            "model": run.settings.model,
            "steps": f"{sum(run.done(step) for step in STEPS)}/{len(STEPS)}",
            "test accuracy": None if accuracy is None else f"{accuracy:.2%}",
            "report": "yes" if run.file("report.pdf").is_file() else "no",
        }  # fmt: skip
    except (LabError, LookupError, TypeError, ValueError):  # one bad run must not hide the others
        return {"run": name, "experiment": "(damaged)"}


def _relative(path: Path) -> str:
    """``path`` as seen from the working directory where that is shorter."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
