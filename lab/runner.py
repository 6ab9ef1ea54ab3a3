"""Executes the notebooks of a run headlessly: papermill, in order, each in a kernel of its own.

The sources in ``notebooks/`` are read only; the executed copies go to ``runs/<name>/notebooks/``.
A run that stopped goes on with its first step that is not done, and a training that stopped with
its first epoch that is not done.
"""

from collections.abc import Callable, Sequence
import os
from pathlib import Path
import shutil
import time

from filelock import FileLock, Timeout
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync

from lab import kernels
from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.core.run import STEPS, Run, runs_dir

# These time the machine or train on it: no other kernel may start meanwhile.
_MEASURED = ("01_setup", "03_model", "04_training", "06_deployment")


_NEEDED_BYTES = 200e6  # a run folder takes about 25 MB; the rest is room for other programs


class _ProgressLines:
    """A file for the notebooks' standard output that passes the lines about progress on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith(("epoch ", "download ")):
                self.say(f"      {line}")

    def flush(self) -> None:
        """Nothing is held back."""


def parse_step(text: str) -> str:
    """The step that ``text`` names: ``04``, ``4`` or ``04_training``; LabError for none."""
    for step in STEPS:
        if text in (step, step[:2], step[1:2]):
            return step
    raise LabError(f"No step {text!r}; the steps are {', '.join(STEPS)}.")


def pending(run: Run, start: str | None = None) -> list[str]:
    """The steps to execute: those not done, and ``start`` with all that follow it."""
    return [s for s in STEPS if not run.done(s) or (start is not None and s >= start)]


def execute(
    run: Run, steps: Sequence[str], say: Callable[[str], None] = print, start: str | None = None
) -> None:
    """Execute ``steps`` of ``run`` in order; ``say`` gets a line per notebook and per epoch.

    A training that was stopped goes on; ``start`` and what follows it begins afresh.
    Raises LabError where a notebook stops, its kernel dies, or another process works on the run.
    """
    if not steps:
        return
    run.path.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(run.path).free < _NEEDED_BYTES:
        raise LabError(
            f"Less than {_NEEDED_BYTES / 1e6:.0f} MB are free for {run.path}; make room there or "
            "choose another folder with LAB_RUNS_DIR."
        )
    # A kernel inherits these. Its working directory is notebooks/, so paths must be absolute.
    os.environ["LAB_RUNS_DIR"] = str(runs_dir())
    os.environ.pop("JPY_SESSION_NAME", None)  # `lab run` in a cell of JupyterLab: nobody watches
    kernels.prepare()
    import papermill  # noqa: F401 — takes a while, in which no kernel is ready yet

    try:
        # The system frees this lock when the process ends, however it ends.
        with FileLock(run.file(".lock"), timeout=0):
            for rubbish in run.path.rglob(".*.tmp.*"):  # of a process that was killed
                rubbish.unlink()
            run.forget(steps)
            run.forget([s for s in steps if start is not None and s >= start], fresh=True)
            waiting: list[AsyncKernelManager] = []
            try:
                for number, step in enumerate(steps):
                    say(f"[{STEPS.index(step) + 1}/{len(STEPS)}] {step}")
                    started = time.perf_counter()
                    kernel = waiting.pop(0) if waiting else kernels.start()
                    try:
                        _start_ahead(waiting, steps[number:], first=number == 0)
                        _execute_one(run, step, kernel, say)
                    finally:
                        run_sync(kernel.shutdown_kernel)(now=True)
                    say(f"      done in {time.perf_counter() - started:.1f} s")
            finally:
                for kernel in waiting:
                    run_sync(kernel.shutdown_kernel)(now=True)
    except Timeout:
        raise LabError(
            f"Another process is working on run {run.name!r}; wait for it or use --name."
        ) from None


def _start_ahead(waiting: list[AsyncKernelManager], steps: Sequence[str], first: bool) -> None:
    """Start kernels of the steps after ``steps[0]``, where nothing that is timed notices.

    Beside a step that times nothing they get ready while it works: that of the next step, and of
    the one after it where the next is timed. Beside the first step one gets ready together with its
    own, and is waited for where the step is timed.
    """
    wanted = 0
    if steps[0] not in _MEASURED:
        wanted = 2 if len(steps) > 1 and steps[1] in _MEASURED else 1
    elif first:
        wanted = 1
    while len(waiting) < min(wanted, len(steps) - 1):
        waiting.append(kernels.start())
        if steps[0] in _MEASURED:
            client = waiting[-1].client()
            client.start_channels()
            try:
                run_sync(client.wait_for_ready)(timeout=600)
            finally:
                client.stop_channels()


def _execute_one(
    run: Run, step: str, kernel: AsyncKernelManager, say: Callable[[str], None]
) -> None:
    # Imported here: `lab list` and `lab report` do not need them.
    from nbclient.exceptions import DeadKernelError
    from nbformat.reader import NotJSONError
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = project_root() / "notebooks" / f"{step}.ipynb"
    copy = run.file(f"notebooks/{step}.ipynb")
    copy.parent.mkdir(exist_ok=True)
    where = f"the executed copy {copy} shows where"
    try:
        papermill.execute_notebook(
            source,
            copy,
            parameters={"experiment": run.settings.experiment, "name": run.name},
            kernel_name="python3",
            km=kernel,
            cwd=source.parent,
            start_timeout=600,  # a first import may take minutes beside a virus scanner
            progress_bar=False,
            stdout_file=_ProgressLines(say),
        )
    except PapermillExecutionError as error:
        if error.ename == "LabError":
            raise LabError(error.evalue) from None
        if error.ename == "KeyboardInterrupt":
            raise KeyboardInterrupt from None
        raise LabError(
            f"{step} stopped in cell {error.cell_index}, {error.ename}: {error.evalue}; {where}."
        ) from None
    except (DeadKernelError, RuntimeError) as error:
        if not isinstance(error, DeadKernelError) and "Kernel" not in str(error):
            raise
        raise LabError(
            f"The kernel of {step} died, most likely out of memory; set a smaller batch_size or "
            f"close other programs, then run the same command again ({where})."
        ) from None
    except NotJSONError:
        raise LabError(f"{source} is no valid notebook; restore it from the lab.") from None
    except FileNotFoundError:
        if source.is_file():
            raise
        raise LabError(f"{source} is missing; restore it from the lab.") from None


def list_runs() -> list[dict[str, str]]:
    """One row per run folder: name, experiment, data, model, steps done, accuracy, report."""
    rows = []
    folders = runs_dir().iterdir() if runs_dir().is_dir() else []
    for folder in sorted(p for p in folders if (p / "settings.yaml").is_file()):
        try:
            run = Run.load(folder.name)
            done = [step for step in STEPS if run.done(step)]
            data = [entry["data"]["name"] for entry in run.manifest.values() if "data" in entry]
            tested = run.done("05_evaluation")
            rows.append(
                {
                    "run": run.name,
                    "experiment": run.settings.experiment,
                    "data": data[0] if data else "-",
                    "model": run.settings.model,
                    "steps": f"{len(done)}/{len(STEPS)}",
                    "test accuracy": (
                        f"{run.read_json('metrics.json')['test_accuracy']:.2%}" if tested else "-"
                    ),
                    "report": "yes" if run.file("report.pdf").is_file() else "no",
                }
            )
        except LabError:
            rows.append({"run": folder.name, "experiment": "(damaged)"})
    return rows


def relative(path: Path) -> str:
    """``path`` as seen from the working directory where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
