"""Executes the notebooks of a run headlessly: papermill, in order, each in a kernel of its own.

The sources in ``notebooks/`` are read only; the executed copies go to ``runs/<name>/notebooks/``.
A run that stopped goes on with its first step that is not done, and a training that stopped with
its first epoch that is not done.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
import io
import json
import logging
import os
from pathlib import Path
import shutil
import time

from filelock import FileLock, Timeout
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync

from lab import kernels
from lab_utils import OUT_OF_MEMORY, LabError
from lab_utils.core.files import one_training, write_json
from lab_utils.core.params import project_root
from lab_utils.core.records import Metrics, read
from lab_utils.core.run import OPTIONAL, RECORDS, STEPS, Run, runs_dir

# How many kernels get ready beside a step. The other steps time the machine or train on it, and a
# kernel that starts would disturb them; 02 is followed by two of these.
_KERNELS_AHEAD = {"02_data": 2, "05_evaluation": 1}
_NO_WORDS = "CellExecutionError"  # papermill's name where a cell that stopped gave no error
_NEEDED_BYTES = 200e6  # a run folder takes about 25 MB; the rest is room for other programs


class _ProgressLines(io.TextIOBase):
    """A file for the notebooks' standard output that prints the lines about progress."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.startswith(("epoch ", "download ", "threads:")):
                print(f"      {line}")
        return len(text)


def parse_step(text: str) -> str:
    """The step that ``text`` names: ``04``, ``4`` or ``04_training``; LabError for none."""
    for step in RECORDS:
        if text in (step, step[:2], step[1:2]):
            return step
    raise LabError(f"No step {text!r}; the steps are {', '.join(RECORDS)}.")


def pending(run: Run, start: str | None = None, optional: bool = False) -> list[str]:
    """The steps to execute: those not done, and ``start`` with all that follow it.

    Optional steps are among them where ``optional``, or where ``start`` is one.
    """
    again = [s for s in RECORDS if start is not None and s >= start]
    wanted = RECORDS if optional else [*STEPS, *again] if start in OPTIONAL else STEPS
    return [s for s in wanted if s in again or not run.done(s)]


def result(run: Run) -> str:
    """The test accuracy of ``run``, with a warning where the data were not CIFAR-10."""
    metrics = read(run, Metrics)
    warning = "" if metrics.data_is_cifar10 else f" (data: {metrics.data}, NOT CIFAR-10)"
    return f"test accuracy {metrics.test_accuracy:.2%}{warning}"


def execute(run: Run, steps: Sequence[str], start: str | None = None) -> None:
    """Execute ``steps`` of ``run`` in order; prints a line per notebook and per epoch.

    A training that was stopped goes on; ``start`` and what follows it begins afresh. Without
    ``steps`` the run folder is tidied alone.
    Raises LabError where a notebook stops, its kernel dies, or another process works on the run.
    """
    if not steps:
        with _alone(run):
            return
    run.path.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(run.path).free < _NEEDED_BYTES:
        raise LabError(
            f"Less than {_NEEDED_BYTES / 1e6:.0f} MB are free for {run.path}; make room there or "
            "choose another folder with LAB_RUNS_DIR."
        )
    # A kernel inherits these. Its working directory is notebooks/, so paths must be absolute.
    os.environ["LAB_RUNS_DIR"] = str(runs_dir())
    os.environ["LAB_RUN"] = run.name  # so that no notebook in Lab follows what runs here
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars would fill the executed notebooks
    os.environ.pop("JPY_SESSION_NAME", None)  # `lab run` in a cell of JupyterLab: nobody watches
    kernels.start_fork_server()
    with _alone(run):
        run.forget(steps)
        if start is not None:  # 08 and 09 too: their results are of what is made anew
            run.forget([step for step in RECORDS if step >= start], fresh=True)
        _execute_all(run, steps)


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Be the one that works on ``run``, tidied of what a process left there that was killed."""
    lock = FileLock(run.file(".lock"), timeout=0)  # freed when the process ends, however
    try:
        held = lock.acquire()
    except Timeout:
        raise LabError(
            f"Another process is working on run {run.name!r}; wait for it or use --name."
        ) from None
    with held:
        with one_training(run.path):  # not while a notebook in JupyterLab trains it
            pass
        for left_over in run.path.rglob(".*.tmp.*"):
            left_over.unlink()
        for step in RECORDS:
            copy = run.file(f"notebooks/{step}.ipynb")
            if copy.resolve().is_relative_to(run.path.resolve()):
                _without_paths(copy)
        yield


def _execute_all(run: Run, steps: Sequence[str]) -> None:
    import papermill  # noqa: F401 - takes a while, in which the fork server imports too

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what goes wrong is said here, once
    ready: list[AsyncKernelManager] = []  # the kernel of this step and those of the next ones
    try:
        for number, step in enumerate(steps):
            print(f"[{number + 1}/{len(steps)}] {step}")
            started = time.perf_counter()
            while len(ready) < min(1 + _KERNELS_AHEAD.get(step, 0), len(steps) - number):
                # Its keys lie in the run folder, where the next start finds what a kill left there.
                name = f".kernel.{os.getpid()}.{number + len(ready)}.tmp.json"
                ready.append(kernels.start(run.file(name)))
            _execute_one(run, step, ready[0])
            run_sync(ready.pop(0).shutdown_kernel)(now=True)
            print(f"      done in {time.perf_counter() - started:.1f} s")
    except KeyboardInterrupt:
        logging.disable()  # or whoever still waits for the kernel would report its end as an error
        raise
    finally:
        for kernel in ready:
            run_sync(kernel.shutdown_kernel)(now=True)


def _execute_one(run: Run, step: str, kernel: AsyncKernelManager) -> None:
    """Execute the notebook of ``step`` in ``kernel``; whatever stops it becomes one sentence."""
    # Imported here: `lab list` and `lab report` do not need them.
    from nbformat.reader import NotJSONError
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = project_root() / "notebooks" / f"{step}.ipynb"
    if not source.is_file():
        raise LabError(f"{source} is missing; restore it from the lab.")
    copy = run.file(f"notebooks/{step}.ipynb")
    copy.parent.mkdir(exist_ok=True)
    where = f"the executed copy {copy} shows where"
    mend = f"set a smaller batch_size or close other programs, then run the same again ({where})"
    try:
        papermill.execute_notebook(
            source, copy,
            parameters={"experiment": run.settings.experiment, "name": run.name},
            kernel_name="python3", km=kernel, cwd=source.parent,
            start_timeout=600,  # a first import may take minutes beside a virus scanner
            progress_bar=False, stdout_file=_ProgressLines(),
        )  # fmt: skip
    except PapermillExecutionError as error:
        if error.ename == "LabError":
            raise LabError(error.evalue) from None
        if error.ename in ("KeyboardInterrupt", "Stopped"):  # of `fit`, the second
            raise KeyboardInterrupt from None
        if OUT_OF_MEMORY.search(f"{error.ename} {error.evalue}"):
            raise LabError(f"{step} ran out of memory; {mend}.") from None
        if error.ename == _NO_WORDS:  # there was not even enough to say what happened
            raise LabError(f"{step} most likely ran out of memory; {mend}.") from None
        raise LabError(
            f"{step} stopped in cell {error.cell_index}, {error.ename}: {error.evalue}; {where}."
        ) from None
    except NotJSONError:
        raise LabError(f"{source} is no valid notebook; restore it from the lab.") from None
    except BrokenPipeError:  # who read what `lab` prints has gone
        raise
    except OSError as error:
        room = "make room, or choose another LAB_RUNS_DIR"
        raise LabError(f"Cannot write {copy}: {error.strerror or error}; {room}.") from error
    except RuntimeError as error:  # nbclient's DeadKernelError is one
        if "Kernel" not in str(error):
            raise
        raise LabError(f"The kernel of {step} died, most likely out of memory; {mend}.") from None
    finally:
        _without_paths(copy)


def _without_paths(copy: Path) -> None:
    """Papermill notes where the two notebooks lay on this machine: keep their name alone.

    A copy that was cut off, on a full disk, goes: it would be no notebook. One that papermill did
    not write stays as it is.
    """
    try:
        notebook = json.loads(copy.read_text(encoding="utf-8")) if copy.is_file() else {}
    except (ValueError, RecursionError):
        copy.unlink()
        return
    with suppress(LookupError, TypeError):
        papermill = notebook["metadata"]["papermill"]
        named = papermill | {"input_path": copy.name, "output_path": copy.name}
        if named != papermill:
            notebook["metadata"]["papermill"] = named
            write_json(copy, notebook)
