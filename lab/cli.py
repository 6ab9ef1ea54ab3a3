"""The ``lab`` command: parses, calls, prints; everything it does lives in the other modules."""

import argparse
import os
from pathlib import Path
import sys
import time

from lab import kernels
from lab.runner import execute, list_runs, parse_step, pending, relative
from lab.sweep import parse_grid, plan, sweep
from lab_utils import LabError
from lab_utils.core.params import load_params, parse_assignments, resolve
from lab_utils.core.run import STEPS, Run, runs_dir


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 done, 1 where some runs of a sweep failed, 2 for an error, 130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(
            stream, "reconfigure"
        ):  # a name that the console cannot show is no reason to stop
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or error
        print(f"lab: {name}{reason}; check the disk and the folder's rights.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nlab: stopped; the same command goes on from the last whole epoch.", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="The CIFAR-10 lab.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute the six notebooks and write the PDF report")
    run.add_argument("experiment", nargs="?", default="quick", help="a name from params.yaml")
    run.add_argument("--name", help="the run folder under runs/ (default: after the experiment)")
    run.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change a setting for this run, for example --set epochs=3",
    )  # fmt: skip
    run.add_argument(
        "--from", dest="start", metavar="STEP", help="run this step and all later ones again"
    )
    run.set_defaults(command=_run)

    sweep = commands.add_parser("sweep", help="train and test many runs, to compare them")
    sweep.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="from params.yaml")
    sweep.add_argument("--seeds", type=int, metavar="N", help="run each with the seeds 0 to N-1")
    sweep.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change a setting for all runs",
    )  # fmt: skip
    sweep.add_argument(
        "--grid", nargs="+", action="extend", default=[], metavar="KEY=VALUE,VALUE",
        help="run every combination, for example --grid lr=1e-3,5e-4 batch_size=64,128",
    )  # fmt: skip
    sweep.add_argument(
        "--ablate", nargs="+", action="extend", default=[], metavar="KEY[=VALUE]",
        help="run the recipe, and again with each of these alone changed (without =: left out)",
    )  # fmt: skip
    sweep.set_defaults(command=_sweep)

    compare = commands.add_parser("compare", help="set finished runs side by side, with tests")
    compare.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="a run, an experiment (all its runs), or a folder of results",
    )  # fmt: skip
    compare.add_argument("--csv", type=Path, metavar="FILE", help="write the table to FILE as well")
    compare.set_defaults(command=_compare)

    report = commands.add_parser("report", help="write the PDF report of a run again")
    report.add_argument("name", help="a run; `lab list` shows them")
    report.set_defaults(command=_report)

    listing = commands.add_parser("list", help="show the runs and the experiments")
    listing.set_defaults(command=_list)
    return parser


def _run(options: argparse.Namespace) -> None:
    started = time.perf_counter()
    settings = resolve(options.experiment, parse_assignments(options.set))
    start = parse_step(options.start) if options.start else None
    run = Run.create(settings, options.name)
    steps = pending(run, start)
    print(f"{settings.title or settings.experiment}: run folder {relative(run.path)}", flush=True)
    if not steps:
        print("Every step is done; `--from 01` runs them again.")
    elif len(steps) < len(STEPS) and start is None:
        print(f"Going on with {steps[0]}.", flush=True)
    # Bars would spam the executed notebooks; the runner prints lines instead.
    os.environ.setdefault("TQDM_DISABLE", "1")
    if steps:
        kernels.prepare()
    from lab.report import build  # a second, in which no kernel is ready yet

    execute(run, steps, say=lambda line: print(line, flush=True), start=start)
    report = build(run)
    metrics = run.read_json("metrics.json")
    warning = "" if metrics["data_is_cifar10"] else f" (data: {metrics['data']}, NOT CIFAR-10)"
    print(
        f"test accuracy {metrics['test_accuracy']:.2%}{warning}, "
        f"wall time {time.perf_counter() - started:.0f} s, report {relative(report)}"
    )


def _sweep(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    changes, grid = parse_assignments(options.set), parse_grid(options.grid)
    settings = plan(options.experiments, changes, grid, options.ablate, options.seeds)
    print(f"runs: {len(settings)}, in {relative(runs_dir())}", flush=True)
    os.environ.setdefault("TQDM_DISABLE", "1")
    outcome = sweep(settings, say=lambda line: print(line, flush=True))
    print(
        f"done: {len(outcome.done)}, finished before: {len(outcome.skipped)}, "
        f"failed: {len(outcome.failed)}, wall time: {time.perf_counter() - started:.0f} s; "
        f"`lab compare {' '.join(dict.fromkeys(options.experiments))}` compares them"
    )
    for name, sentence in outcome.failed.items():
        print(f"lab: {name} failed: {sentence}", file=sys.stderr)
    return 1 if outcome.failed else 0  # the same command tries the failed ones again


def _compare(options: argparse.Namespace) -> None:
    from lab_utils.experiments.recipes import named, table, write_csv
    from lab_utils.experiments.sentences import paragraph
    from lab_utils.experiments.significance import compare, reference_of

    groups = named(*options.runs)
    print(table(groups), end="\n\n", flush=True)
    if options.csv:
        write_csv(options.csv, groups)
    reference = reference_of(groups) if len(groups) > 3 else None
    pairs = compare(groups, reference)
    print("\n".join(paragraph(groups, pairs, reference)))


def _report(options: argparse.Namespace) -> None:
    from lab.report import build

    print(f"report {relative(build(Run.load(options.name)))}")


def _list(options: argparse.Namespace) -> None:
    rows = list_runs()
    if rows:
        columns = list(rows[0] if len(rows) == 1 else max(rows, key=len))
        cells = [columns, *([row.get(column, "") for column in columns] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        for line in cells:
            padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            print("  ".join(padded).rstrip())
    else:
        print("No runs yet; `lab run` makes one.")
    print(f"\nexperiments: {', '.join(load_params()['experiments'])}")


if __name__ == "__main__":
    sys.exit(main())
