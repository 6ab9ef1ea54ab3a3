"""A whole `lab run` within a second, as a program: `harmed.py FOLDER WAY NUMBER` harms a write.

WAY is ``none``, or what happens to the write NUMBER, counted from 0: ``before`` kills while half of
it is in its temporary file, ``after`` when it has its name, ``full`` lets the disk be full where it
is flushed, ``read-only`` refuses the new name. It is the command itself and its own runner; the
notebooks are stood in for by functions that train a toy network, test it and write all that the
notebooks write, and Typst, which writes nothing, by a constant. Runs are forked from one process,
which has imported PyTorch: the lines of standard input are FOLDER WAY NUMBER, the lines of standard
output exit codes.
"""

from contextlib import redirect_stderr, redirect_stdout
import errno
import io
import itertools
import os
from pathlib import Path
import signal
import sys
from tempfile import TemporaryDirectory

from fabricate import make_run
import nbformat
import numpy as np
import papermill
from papermill.iorw import LocalHandler, write_ipynb
from toy import toy, toy_dataset, train
import typst

from lab import cli, kernels, runner
from lab_utils.core import files, process
from lab_utils.core.drawing import Drawing, new_figure
from lab_utils.core.files import write_atomic
from lab_utils.core.opening import open_run
from lab_utils.core.run import RECORDS, Run
from lab_utils.data.batches import normalize
from lab_utils.deployment.model_card import write_card
from lab_utils.evaluation.metrics import summarize
from lab_utils.evaluation.predictions import Predictions, save_predictions
from lab_utils.training.checkpoints import load_best
from lab_utils.training.history import read_history

ARGUMENTS = ["run", "smoke", "--name", "run", "--set", "epochs=3", "batch_size=34", "threads=1"]
_REFUSED = {"full": errno.ENOSPC, "read-only": errno.EROFS}


def harm(way: str, number: int) -> None:
    """Let the write ``number`` of this process go wrong in the way ``way``."""
    rename, flush, write = files._replace, os.fsync, LocalHandler.write
    counted = itertools.count()

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def refuse() -> None:
        raise OSError(_REFUSED[way], os.strerror(_REFUSED[way]))

    def replace(temporary: Path, path: Path) -> None:
        mine = way != "full" and next(counted) == number
        if mine and way == "before":
            os.truncate(temporary, temporary.stat().st_size // 2)
            end()
        if mine and way in _REFUSED:
            refuse()
        rename(temporary, path)
        if mine:
            end()

    def fsync(descriptor: int) -> None:
        if way == "full" and next(counted) == number:
            refuse()
        flush(descriptor)

    def save(self: LocalHandler, text: str, path: str) -> None:
        """Papermill's own way to write a copy, which is not atomic."""
        mine = next(counted) == number
        if mine and way in ("before", *_REFUSED):
            write(self, text[: len(text) // 2], path)
            end() if way == "before" else refuse()
        write(self, text, path)
        if mine:
            end()

    files._replace, os.fsync, LocalHandler.write = replace, fsync, save


class Kernel:
    """In place of a notebook's kernel."""

    async def shutdown_kernel(self, now: bool) -> None:
        """It never began."""


def step(name: str, made_up: Run) -> None:
    """What the notebook ``name`` does: its files are those of ``made_up``, with real weights."""
    run = open_run(name, name=os.environ["LAB_RUN"])
    recorded = made_up.read_json(RECORDS[name])
    if name in ("04_training", "05_evaluation"):
        run.use_data("toy", "0")
        figure, axes = new_figure(2, 1)
        axes.set_axis_off()
        axes.plot([0, 1], [1, 0]) if name == "04_training" else axes.imshow([[0, 1]])
        run.show(Drawing(f"of_{name}", figure, "A figure of the run.", "A figure of the run."))
    if name == "04_training":
        _, history = train(run.path, toy_dataset(), run.settings)
        best = max(row.val_accuracy for row in history)
        recorded |= {"epochs": len(history), "best_val_accuracy": best}
    if name == "05_evaluation":
        network, best = load_best(run.file("checkpoints/best.pt"))
        test = toy(60, 2)
        logits = network(normalize(test.images, best.normalization)).detach().numpy()
        found = Predictions(logits, np.asarray(test.targets), best.classes)
        save_predictions(run.file("predictions.npz"), found)
        recorded |= made_up.read_json("metrics.json") | summarize(logits, found.targets)
        history = read_history(run.file("history.csv"))
        recorded |= {"epochs": len(history), "best_epoch": best.epoch}
        recorded |= {"val_accuracy": best.val_accuracy}
    if name == "06_deployment":
        weights = run.file("checkpoints/best.pt").read_bytes()
        write_atomic(run.file("exports/model.onnx"), lambda part: part.write_bytes(weights))
        write_card(run, recorded)
    run.record(**recorded)
    run.finish()


def prepare(made_up: Run) -> None:
    """Put the stand-ins in their places, and load all that a run loads, so that forks have it."""

    def execute_notebook(source: Path, copy: Path, **_) -> None:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.stem)])
        notebook.metadata.papermill = {"input_path": str(source), "output_path": str(copy)}
        write_ipynb(notebook, str(copy))  # it does so before and after each cell
        step(source.stem, made_up)
        write_ipynb(notebook, str(copy))

    papermill.execute_notebook = execute_notebook
    kernels.start, kernels.start_fork_server = lambda _: Kernel(), lambda: None
    typst.compile = lambda *_, **__: b"%PDF"
    found = process.versions()
    sys.modules["lab_utils.core.run"].versions = lambda: found  # git takes a while
    runner._NEEDED_BYTES = 0  # a small disk will do


def main() -> None:
    """A process for each line: the command's exit code, 1 where its errors are not one line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest ignores it
    with TemporaryDirectory() as folder:
        prepare(make_run(Path(folder, "made_up"), classes=["a", "b", "c"], data="toy"))
        lab(str(Path(folder, "first")))
        for line in sys.stdin:
            place, way, number = line.rsplit(maxsplit=2)
            if (pid := os.fork()) == 0:
                code = 1
                try:
                    harm(way, int(number)) if way != "none" else None
                    code = lab(place)
                finally:
                    os._exit(code)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def lab(place: str) -> int:
    """The command with its run folders in ``place``."""
    os.environ["LAB_RUNS_DIR"] = place
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
        code = cli.main(ARGUMENTS)
    said = errors.getvalue().strip("\n")
    if code == 0 or code == 130:
        return code if said == "" or (code and said.startswith("lab: stopped; ")) else 1
    return code if "\n" not in said and place in said else 1


if __name__ == "__main__":
    main()
