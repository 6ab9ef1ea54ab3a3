"""The ``lab`` command: parses, calls ``lab.commands``, and says in a sentence what stopped it."""

import argparse
import os
from pathlib import Path
import sys

from lab_utils import OUT_OF_MEMORY, LabError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    0 done, 1 where some runs of a sweep failed or a run is not as it was left, 2 for an error, 130
    for Ctrl-C.
    """
    try:  # Ctrl-C and too little memory may come while these are imported, too
        _prepare_streams()
        from lab import commands
        from lab_utils.core import process

        options = _parser().parse_args(arguments)
        process.prepare()  # before torch is loaded here, and for the kernels, which inherit it
        return getattr(commands, f"do_{options.command}")(options) or 0
    except BrokenPipeError:  # `lab list | head -1`: nobody reads on, and there is nothing to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(
            "\nlab: stopped; the same command goes on from the last whole epoch.", file=sys.stderr
        )
        return 130
    except Exception as error:
        if not (sentence := _sentence(error)):
            raise
        print(f"lab: {sentence}", file=sys.stderr)
        return 2


def _prepare_streams() -> None:
    """Let nothing else become standard input, output or errors where one is closed."""
    while (handle := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(handle, True)
    os.close(handle)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the console lacks is shown as "?"
            stream.reconfigure(errors="replace", line_buffering=True)


def _sentence(error: Exception) -> str | None:
    """What is wrong and what to do about it; None for what nobody can mend."""
    from lab_utils.core.show import printable

    if isinstance(error, LabError):
        return "\n".join(map(printable, str(error).split("\n")))  # a name may steer the terminal
    if OUT_OF_MEMORY.search(repr(error)):
        return "Out of memory; close other programs, then run the same command again."
    if isinstance(error, OSError):
        what = f"{error.filename}: {error.strerror}" if error.filename else error
        return f"{what}; check the disk and the folder's rights."
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="The CIFAR-10 lab.")
    one = {"help": "a run; `lab list` shows them (or the absolute path of a run's folder)"}
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    many = {"nargs": "+", "action": "extend", "default": []}
    change = {**many, "metavar": "KEY=VALUE", "help": "change settings, such as --set epochs=3"}

    run = commands.add_parser("run", help="execute the six notebooks and write the PDF report")
    run.add_argument("experiment", nargs="?", default="quick", help="a name from params.yaml")
    run.add_argument("--name", help="the run folder under runs/ (default: after the experiment)")
    run.add_argument("--set", **change)
    run.add_argument("--from", dest="start", metavar="STEP", help="run this and later steps again")
    run.add_argument("--all", action="store_true", help="the optional notebooks 08 and 09 too")
    run.set_defaults(command="run")

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
    sweep.set_defaults(command="sweep")

    compare = commands.add_parser("compare", help="set finished runs side by side, with tests")
    compare.add_argument("runs", nargs="+", metavar="RUN", help="a run, experiment or folder")
    compare.add_argument("--csv", type=Path, metavar="FILE", help="write the table to FILE as well")
    compare.set_defaults(command="compare")

    report = commands.add_parser("report", help="write the PDF report of a run again")
    report.add_argument("name", **one)
    report.set_defaults(command="report")

    verify = commands.add_parser("verify", help="check that the files of a run are its own")
    verify.add_argument("name", **one)
    verify.add_argument("--rerun", action="store_true", help="train and test again, and compare")
    verify.set_defaults(command="verify")

    serve = commands.add_parser("serve", help="offer the model of a run as a page and to programs")
    serve.add_argument("name", **one)
    serve.add_argument("--port", type=int, default=8000, help="of 127.0.0.1; 0: any free one")
    serve.set_defaults(command="serve")
    commands.add_parser("open", help="open notebook 01 in JupyterLab").set_defaults(command="open")
    commands.add_parser("list", help="show runs and experiments").set_defaults(command="list")
    return parser
