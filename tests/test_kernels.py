"""Kernels of a run: forked or not, they are the same to the notebooks."""

import multiprocessing
import os
from pathlib import Path
import signal
import sys

from jupyter_core.utils import run_sync
from lab_utils import kernels
from lab_utils.settings import project_root
import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


def ask(kernel, code):
    """What ``code`` prints in the kernel."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        assert message["msg_type"] != "error", message["content"]

    client = kernel.client()
    client.start_channels()
    try:
        run_sync(client.wait_for_ready)(timeout=120)
        run_sync(client.execute_interactive)(code, timeout=120, output_hook=keep)
    finally:
        client.stop_channels()
    return "".join(printed).split("\n")[:-1]


@pytest.fixture(params=[pytest.param(True, marks=LINUX), False], ids=["forked", "own process"])
def start(request, monkeypatch):
    """``kernels.start`` in either way; what it started is shut down."""
    monkeypatch.setattr(kernels, "_FORK", request.param)
    started = []

    def start():
        started.append(kernels.start())
        return started[-1]

    yield start
    for kernel in started:
        run_sync(kernel.shutdown_kernel)(now=True)


def test_a_kernel_is_in_notebooks_and_has_todays_environment(start, monkeypatch):
    code = "import os, sys; print(os.getcwd()); print(os.environ['LAB_TEST']); print(__name__)"
    places = []
    for value in ("first", "second"):
        monkeypatch.setenv("LAB_TEST", value)
        folder, seen, name = ask(start(), code)
        assert (seen, name) == (value, "__main__")
        places.append(Path(folder))
    assert places == [project_root() / "notebooks"] * 2


def test_a_kernel_starts_processes_as_any_python_does_and_says_nothing(start, capfd):
    code = "import multiprocessing; print(multiprocessing.get_start_method())"
    assert ask(start(), code) == [multiprocessing.get_start_method()]
    assert capfd.readouterr() == ("", "")


def test_kernels_share_nothing(start):
    one, two = start(), start()
    ask(one, "import torch; torch.manual_seed(1); torch.set_num_threads(1); here = 1")
    code = "import torch; print('here' in globals()); print(torch.initial_seed() == 1)"
    assert ask(two, code) == ["False", "False"]
    assert len({ask(kernel, "import os; print(os.getpid())")[0] for kernel in (one, two)}) == 2


def test_a_kernel_can_be_interrupted_and_shut_down(start):
    kernel = start()
    pid = int(ask(kernel, "import os; print(os.getpid())")[0])
    code = """
        import os, signal, time
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
        except KeyboardInterrupt:
            print("interrupted")
    """
    if os.name == "posix":
        assert ask(kernel, code) == ["interrupted"]
    run_sync(kernel.shutdown_kernel)(now=True)
    assert not run_sync(kernel.is_alive)()
    if os.name == "posix":
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@LINUX
def test_a_killed_kernel_is_seen_to_be_dead(start):
    kernel = start()
    assert run_sync(kernel.is_alive)()
    os.kill(int(ask(kernel, "import os; print(os.getpid())")[0]), signal.SIGKILL)
    run_sync(kernel.provisioner.wait)()
    assert not run_sync(kernel.is_alive)()


@LINUX
def test_forked_kernels_have_the_imports_and_come_from_one_process(monkeypatch):
    monkeypatch.setattr(kernels, "_FORK", True)
    code = "import os, sys; print('torchvision' in sys.modules); print(os.getppid())"
    answers = []
    for _ in range(2):
        kernel = kernels.start()
        try:
            answers.append(ask(kernel, code))
        finally:
            run_sync(kernel.shutdown_kernel)(now=True)
    assert answers[0] == answers[1] and answers[0][0] == "True"
