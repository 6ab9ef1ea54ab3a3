"""Jupyter kernels for the notebooks of a run.

A kernel of the lab imports PyTorch, scikit-learn and Matplotlib, which takes seconds. On Linux that
is done once, in a process from which each kernel is forked. Elsewhere forking such a process is not
safe or not there, and each kernel imports for itself.
"""

from contextlib import suppress
import ctypes
import importlib
import json
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.utils import run_sync

from lab_utils.core.params import project_root

_FORK = sys.platform == "linux"


_PARENT_DEATH_SIGNAL = 1  # Linux's number for "send me this when my parent ends"


_LAUNCHER = "ipykernel_launcher"  # the module that a kernel's command names


_IMPORTS = ("torchvision.datasets", "lab_utils.training.fit", "lab_utils.core.drawing")


def start() -> AsyncKernelManager:
    """Start a kernel in ``notebooks/``; returns once it is a process, before it is ready."""
    kernel = AsyncKernelManager(kernel_name="python3")
    # Kernels warn of unencrypted sockets, which never leave this machine.
    arguments = ["--IPKernelApp.log_level=40"]
    if _FORK:
        kernel.provisioner = _ForkProvisioner(kernel_spec=kernel.kernel_spec, parent=kernel)
    else:
        arguments += [f"--IPKernelApp.exec_lines=import {name}" for name in _IMPORTS]
    folder = project_root() / "notebooks"
    run_sync(kernel.start_kernel)(extra_arguments=arguments, cwd=str(folder))
    return kernel


def prepare() -> None:
    """Let the imports begin where they are done once; returns without waiting for them."""
    if _FORK and _Nursery.running is None:
        _Nursery.running = _Nursery()


class _Nursery:
    """The process that kernels are forked from, as this process sees it.

    It ends when this process does, whatever ends it; and the kernels end when it does.
    """

    running: "_Nursery | None" = None

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        handle = theirs.fileno()
        # A file in the working directory, say random.py, must not pass for a module.
        path = "import sys; sys.path = [folder for folder in sys.path if folder]"
        code = f"{path}; from lab import kernels; kernels.serve({handle})"
        # A session of its own: Ctrl-C in the terminal is for `lab`, which then ends its kernels.
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL, pass_fds=[handle], start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self.channel = ours.makefile("rw", encoding="utf-8")

    def fork(self, arguments: list[str], folder: str, environment: dict[str, str]) -> int | None:
        """The process id of a new kernel; None where the process to fork from has ended."""
        try:
            print(json.dumps([arguments, folder, environment]), file=self.channel, flush=True)
            return int(self.channel.readline())
        except (OSError, ValueError):
            return None
        except BaseException:  # Ctrl-C: the answer would pass for that to the next question
            self.process.kill()
            _Nursery.running = None
            raise


class _ForkProvisioner(LocalProvisioner):
    """Starts a kernel of this Python as a fork of the process that has the imports."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Start the kernel whose command line is ``cmd``; its connection."""
        pid = None
        if cmd[0] == sys.executable and _LAUNCHER in cmd:
            prepare()
            arguments = cmd[cmd.index(_LAUNCHER) + 1 :]
            pid = _Nursery.running.fork(arguments, str(kwargs["cwd"]), kwargs["env"])
        if pid is None:  # somebody's own kernel named python3, or the imports failed
            return await super().launch_kernel(cmd, **kwargs)
        self.process = _Forked(pid)
        self.pid = self.pgid = pid  # the kernel makes itself the leader of a group
        self.cwd = kwargs["cwd"]
        return self.connection_info


class _Forked:
    """What the provisioner asks of a ``subprocess.Popen``, of a process that is no child."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            state = "Z"
        return 1 if state == "Z" else None  # how it ended is not known here

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.01)
        return 1

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def serve(handle: int) -> None:
    """Import, then fork a kernel for every line from the socket ``handle``, until ``lab`` is gone.

    Each line is answered by the kernel's process id, or by an empty line where there is none.
    """
    lab, parent = socket.socket(fileno=handle), os.getpid()
    try:
        for name in ("ipykernel.kernelapp", *_IMPORTS):
            importlib.import_module(name)
    except Exception:  # a kernel that imports for itself will show it to somebody
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a kernel that ended leaves no zombie behind
    with lab.makefile("rw", encoding="utf-8") as channel:
        for line in channel:
            try:
                pid = os.fork()
            except OSError:  # no memory, or too many processes
                pid = ""
            if pid == 0:
                request = json.loads(line)
                break
            print(pid, file=channel, flush=True)
        else:
            return
    lab.close()
    _be_kernel(parent, *request)


def _be_kernel(parent: int, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """What ``python -m ipykernel_launcher`` does, in a process forked from ``parent``."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os._exit(1)
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
    known = f"--IPKernelApp.parent_handle={parent}"  # without it a kernel prints how to leave it
    ipykernel.kernelapp.launch_new_instance([*arguments, known])
