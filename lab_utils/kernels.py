"""Jupyter kernels for the notebooks of a run.

A kernel that a notebook of the lab can use has imported PyTorch, scikit-learn and Matplotlib, which
takes seconds. On Linux that is done once, in a process from which every kernel is forked. Elsewhere
forking is not safe or not there, and each kernel imports for itself.
"""

import multiprocessing
from multiprocessing import forkserver
import os
import sys
import threading
from typing import Any

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.utils import run_sync
from lab_utils.settings import project_root

_IMPORTS = (
    "ipykernel.kernelapp",
    "torchvision.datasets",
    "lab_utils.training",
    "lab_utils.figures.style",
)
_FORK = sys.platform == "linux"
_LAUNCHER = "ipykernel_launcher"  # the module that a kernel's command names


def prepare() -> None:
    """Let the imports begin where they are done once; returns without waiting."""
    if _FORK:
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(_IMPORTS))
        forkserver.ensure_running()


def start() -> AsyncKernelManager:
    """Start a kernel in ``notebooks/``, with the imports under way; returns without waiting."""
    kernel = AsyncKernelManager(kernel_name="python3")
    # Kernels warn of unencrypted sockets, which never leave this machine.
    arguments = ["--IPKernelApp.log_level=40"]
    if _FORK:
        kernel.provisioner = ForkProvisioner(kernel_spec=kernel.kernel_spec, parent=kernel)
    else:
        arguments += [f"--IPKernelApp.exec_lines=import {name}" for name in _IMPORTS[1:]]
    folder = project_root() / "notebooks"
    run_sync(kernel.start_kernel)(extra_arguments=arguments, cwd=str(folder))
    return kernel


class ForkProvisioner(LocalProvisioner):
    """Starts a kernel as a fork of the process that has the imports.

    The standard library's fork server is that process: it has one thread and does nothing but
    import and fork.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Start the kernel whose command line is ``cmd``; its connection."""
        if _LAUNCHER not in cmd:  # somebody's own kernel named python3
            return await super().launch_kernel(cmd, **kwargs)
        prepare()
        context = multiprocessing.get_context("forkserver")
        arguments = cmd[cmd.index(_LAUNCHER) + 1 :]
        process = context.Process(target=_kernel, args=(arguments, kwargs["cwd"], dict(os.environ)))
        process.start()
        self.process = _Forked(process)
        self.pid = self.pgid = process.pid  # the kernel makes itself the leader of a group
        self.cwd = kwargs["cwd"]
        return self.connection_info


class _Forked:
    """What the provisioner asks of a ``subprocess.Popen``."""

    stdin = stdout = stderr = None

    def __init__(self, process: multiprocessing.Process) -> None:
        self.process = process

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


def _kernel(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be a kernel, until it is shut down or the process that started it is gone."""
    os.setsid()  # Ctrl+C in the terminal is for `lab`, which then ends its kernels
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.set_start_method(None, force=True)  # what the notebooks start, as elsewhere
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
