"""Jupyter kernels for the notebooks of a run.

Before a notebook can begin, its kernel imports PyTorch and Matplotlib, which takes seconds. On
Linux one process, the fork server, does that once, and every kernel is a copy of it (``os.fork``).
Elsewhere such copies are unsafe or impossible, and each kernel imports for itself.
"""

from contextlib import suppress
import ctypes
import importlib
from multiprocessing.connection import Connection, Pipe
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any, ClassVar

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.utils import run_sync
import psutil

from lab_utils.core.params import project_root

_FORK = sys.platform == "linux"
_LAUNCHER = "ipykernel_launcher"  # the module that a kernel's command line names
# What most notebooks import; nothing here may start a thread, which a copy would not have.
_IMPORTS = ("torchvision.datasets", "lab_utils.training.fit", "lab_utils.evaluation.figures")


def start(connection: Path) -> AsyncKernelManager:
    """Start a kernel in ``notebooks/``; returns once it is a process, before it is ready.

    The file ``connection`` tells its ports and key, and goes when the kernel is shut down.
    """
    kernel = AsyncKernelManager(kernel_name="python3", connection_file=str(connection))
    arguments = ["--IPKernelApp.log_level=40"]  # no warning of sockets, which stay on this machine
    arguments += ["--HistoryManager.enabled=False"]  # in the home folder; these cells are in files
    if _FORK:
        kernel.provisioner = _ForkProvisioner(kernel_spec=kernel.kernel_spec, parent=kernel)
    else:
        arguments += [f"--IPKernelApp.exec_lines=import {name}" for name in _IMPORTS]
    folder = str(project_root() / "notebooks")
    run_sync(kernel.start_kernel)(extra_arguments=arguments, cwd=folder)
    return kernel


def start_fork_server() -> None:
    """Let the imports begin, where one process does them for all; does not wait for them."""
    if _FORK and _ForkServer.running is None:
        _ForkServer.running = _ForkServer()


class _ForkServer:
    """The process that kernels are forked from, as this process sees it.

    It ends when this process does, whatever ends it; and the kernels end when it does.
    """

    running: ClassVar["_ForkServer | None"] = None

    def __init__(self) -> None:
        self.requests, theirs = Pipe()
        # A file in the working directory, such as random.py, must not pass for a module.
        serve = f"from lab.kernels import serve; serve({theirs.fileno()})"
        # A session of its own: Ctrl-C in the terminal is for `lab`, which then ends its kernels.
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path = [*filter(None, sys.path)]; {serve}"],
            stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
        theirs.close()

    def fork(self, arguments: list[str], folder: str, environment: dict[str, str]) -> int | None:
        """The process id of a new kernel; None where there can be none."""
        try:
            self.requests.send((arguments, folder, environment))
            return self.requests.recv()
        except (OSError, EOFError):  # the server has ended
            return None
        except BaseException:  # Ctrl-C: its answer would be read as that to the next request
            self.process.kill()
            _ForkServer.running = None
            raise


class _ForkProvisioner(LocalProvisioner):
    """Starts a kernel of this Python as a fork of the server."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Start the kernel whose command line is ``cmd``; its connection."""
        pid = None
        if cmd[0] == sys.executable and _LAUNCHER in cmd:
            start_fork_server()
            arguments = cmd[cmd.index(_LAUNCHER) + 1 :]
            pid = _ForkServer.running.fork(arguments, kwargs["cwd"], kwargs["env"])
        if pid is None:  # the user's own kernel named python3, or the imports failed
            return await super().launch_kernel(cmd, **kwargs)
        self.process = _Forked(pid)
        self.pid = self.pgid = pid  # the kernel makes itself the leader of a group
        return self.connection_info


class _Forked(psutil.Process):
    """A process that is no child of this one, with what LocalProvisioner asks of a Popen."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        with suppress(psutil.NoSuchProcess):
            if self.status() != psutil.STATUS_ZOMBIE:
                return None
        return 1  # how it ended is not known here

    wait = poll  # called only once poll says that it has ended

    def send_signal(self, sig: int) -> None:
        with suppress(psutil.NoSuchProcess):
            super().send_signal(sig)


def serve(handle: int) -> None:
    """Import, then fork a kernel for each request and answer with its id, as long as `lab` runs."""
    requests, server, pid = Connection(handle), os.getpid(), None
    # Should `lab` end while an import hangs (OpenBLAS asks for ever for memory that is not to be
    # had), nobody would read from the pipe that it is closed: PR_SET_PDEATHSIG, see prctl(2). What
    # it follows is the thread that started this process, so that must be the main thread of `lab`.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    with suppress(Exception):  # a kernel that then imports for itself shows what went wrong
        for name in ("ipykernel.kernelapp", *_IMPORTS):
            importlib.import_module(name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a kernel that ended leaves no zombie
        while pid != 0:
            request = requests.recv()
            pid = os.fork()
            if pid:
                requests.send(pid)
    if pid == 0:
        requests.close()
        _be_kernel(server, *request)


def _be_kernel(server: int, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """What ``python -m ipykernel_launcher`` does, in a process forked from ``server``."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    import ipykernel.kernelapp
    import matplotlib
    import numpy as np

    np.random.seed()  # or every kernel would draw the same numbers
    # Matplotlib read this when it was imported; a kernel sets it before.
    inline = "module://matplotlib_inline.backend_inline"
    matplotlib.rcParams["backend"] = os.environ.setdefault("MPLBACKEND", inline)
    sys.argv = [_LAUNCHER, *arguments]
    parent = f"--IPKernelApp.parent_handle={server}"  # a kernel ends when its parent has ended
    ipykernel.kernelapp.launch_new_instance([*arguments, parent])
