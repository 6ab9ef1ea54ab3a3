"""A training of a second as a program: `trains.py FOLDER WAY NUMBER` harms its write NUMBER.

WAY is ``none``, or: ``before`` kills it while a file is still a temporary one, ``after`` when it
has its name, ``full`` lets the disk be full, ``read-only`` refuses the new name. NUMBER counts from
0. Runs are forked from one process, which has imported PyTorch: the lines of standard input are
FOLDER WAY NUMBER, the lines of standard output exit codes.
"""

import errno
import os
from pathlib import Path
import signal
import sys

from toy import toy_dataset, train

from lab_utils import LabError
from lab_utils.core import files
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run

_REFUSED = {"full": errno.ENOSPC, "read-only": errno.EROFS}


def harm(way: str, number: int) -> None:
    """Let the write ``number`` of this process go wrong in the way ``way``."""
    counted = iter(range(1_000_000))
    rename = files._replace

    def replace(temporary: Path, path: Path) -> None:
        mine = next(counted) == number
        if mine and way == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if mine and way in _REFUSED:
            raise OSError(_REFUSED[way], os.strerror(_REFUSED[way]))
        rename(temporary, path)
        if mine and way == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    files._replace = replace


def work(folder: Path) -> None:
    """A run's step 04, as the notebook does it."""
    os.environ["LAB_RUNS_DIR"] = str(folder)
    run = Run.create(load_settings("smoke", epochs=3, batch_size=34, threads=1), "run")
    run.begin("04_training")
    train(run.path, toy_dataset(), run.settings)
    run.record(epochs=3)
    run.finish()


def main() -> None:
    """A process for each line; 0 done, 3 LabError with one line that names a path, 1 anything."""
    for line in sys.stdin:
        folder, way, number = line.rsplit(maxsplit=2)
        if (pid := os.fork()) == 0:
            code = 1
            try:
                harm(way, int(number))
                work(Path(folder))
                code = 0
            except LabError as error:
                text = str(error)
                code = 3 if folder in text and text.count("\n") == 0 else 1
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
