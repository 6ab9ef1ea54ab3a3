"""How fast each exported file answers, beside the model in plain PyTorch (eager).

    python -m benchmarks.inference --run quick --json report/results/benchmarks/inference.json

The model of a finished run, on the CPU with as many threads as there are cores; the kinds take
turns. Latency is of one image, in milliseconds; throughput in images per second; memory is what a
process that has opened the file and answered once holds, in megabytes (10^6 bytes).
"""

from argparse import Namespace
from pathlib import Path
import shutil
import subprocess
import sys

import numpy as np
import torch

from benchmarks import common
from benchmarks.common import Row, say
from lab_utils.core.run import Run
from lab_utils.deployment import FILES
from lab_utils.deployment.compare import measure
from lab_utils.deployment.formats import Runner, open_model

SIZES = (1, 8, 64, 256, 512)
ROUNDS = 5
EAGER = "eager"
_MEMORY = """
import sys, psutil
from pathlib import Path
import torch
from lab_utils.deployment.formats import open_model
before = psutil.Process().memory_info().rss
opened = open_model(Path(sys.argv[1]))
size = opened.about.image_size
with torch.inference_mode():
    opened.run(torch.rand(1, 3, size, size))
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


def runners(folder: Path) -> tuple[dict[str, Runner], dict[str, Path]]:
    """What is timed, by kind, and the file of each."""
    files = {EAGER: folder / "checkpoints/best.pt"}
    exports = {kind: folder / "exports" / name for kind, name in FILES.items()}
    files |= {k: path for k, path in exports.items() if path.is_file() and k != "safetensors"}
    found = {kind: open_model(path).run for kind, path in files.items()}
    if shutil.which("g++"):
        found["torch.compile"] = torch.compile(found[EAGER], dynamic=True)
    else:
        say("no g++ here: torch.compile is left out")
    return found, files


def memory_mb(file: Path) -> float:
    """What opening ``file`` and one answer add to a process that has imported the lab."""
    command = [sys.executable, "-c", _MEMORY, str(file)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def inference(arguments: Namespace) -> list[Row]:
    """p50 and p99 of one image, throughput, memory and size; "ours" is the export."""
    run = Run.load(arguments.run)
    run.require("06_deployment")
    runs, files = runners(run.path)
    size = open_model(files[EAGER]).about.image_size
    pixels = torch.rand(max(SIZES), 3, size, size, generator=torch.Generator().manual_seed(0))
    say(f"{', '.join(runs)}; torch.compile compiles at its first calls")
    times = measure(runs, pixels, SIZES, arguments.seconds, ROUNDS)
    others = [kind for kind in runs if kind != EAGER]
    rows = []
    for share in (50, 99):
        base = 1e3 * np.percentile(times[EAGER][1], share)
        for kind in others:
            ms = 1e3 * float(np.percentile(times[kind][1], share))
            what = f"{kind}: one image, p{share} (ms)"
            rows.append(Row(what, ms, float(base), float(base) / ms, len(times[kind][1])))
    for n in SIZES:
        base = n / float(np.median(times[EAGER][n]))
        for kind in others:
            rate = n / float(np.median(times[kind][n]))
            what = f"{kind}: images/s at {n}"
            rows.append(Row(what, rate, base, rate / base, len(times[kind][n])))
    for what, of in (("memory (MB)", memory_mb), ("file (MB)", lambda f: f.stat().st_size / 1e6)):
        base = of(files[EAGER])
        rows += [
            Row(f"{kind}: {what}", own, base, base / own, 1)
            for kind, path in files.items()
            if kind != EAGER and (own := of(path))
        ]
    return rows


if __name__ == "__main__":
    common.run(
        "inference",
        inference,
        run=("quick", "a run that has finished 06"),
        seconds=(1.0, "seconds of calls of each kind at each size"),
    )
