"""One process that runs the lab many times: `soak.py RUNS SWEEPS`, what it holds after each.

A line of JSON for each: what it was, memory in bytes, blocks of memory that Python's objects have,
open files and sockets, threads, and files in the temporary folder. Notebooks and Typst are stood in
for as in `harmed.py`.
"""

from contextlib import redirect_stdout
import gc
import io
import json
import os
from pathlib import Path
import shutil
import sys
from tempfile import TemporaryDirectory, gettempdir

from fabricate import make_run
from harmed import lab, prepare
import psutil

from lab import cli


def held(what: str) -> str:
    """What this process holds now."""
    gc.collect()
    process = psutil.Process()
    return json.dumps({
        "what": what, "memory": process.memory_info().rss, "objects": sys.getallocatedblocks(),
        "handles": process.num_fds(), "threads": process.num_threads(),
        "temporary": len(list(Path(gettempdir()).rglob("*"))),
    })  # fmt: skip


def main() -> None:
    """The runs, then sweeps of two seeds; each in a folder of its own, which then goes."""
    runs, sweeps = map(int, sys.argv[1:])
    with TemporaryDirectory() as made, TemporaryDirectory() as folder:
        prepare(make_run(Path(made, "made_up"), classes=["a", "b", "c"], data="toy"))
        for number in range(runs + sweeps):
            os.environ["LAB_RUNS_DIR"] = place = f"{folder}/runs"
            what = "run" if number < runs else "sweep"
            with redirect_stdout(io.StringIO()):
                small = ["epochs=1", "batch_size=34", "threads=1"]
                sweep = ["sweep", "smoke", "--seeds", "2", "--set", *small]
                assert (lab(place) if what == "run" else cli.main(sweep)) == 0
            shutil.rmtree(place)
            print(held(what), flush=True)


if __name__ == "__main__":
    main()
