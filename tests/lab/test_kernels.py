"""Kernels of a run: forked or not, they are the same to the notebooks."""

import multiprocessing
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from jupyter_core.utils import run_sync
import psutil
import pytest

from lab import kernels
from lab_utils.core.params import project_root

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


def outputs(kernel, code):
    """The messages that the kernel sends while it executes ``code``, which raises nothing."""
    messages = []
    client = kernel.client()
    client.start_channels()
    try:
        run_sync(client.wait_for_ready)(timeout=120)
        run_sync(client.execute_interactive)(code, timeout=120, output_hook=messages.append)
    finally:
        client.stop_channels()
    assert not [m["content"] for m in messages if m["msg_type"] == "error"]
    return messages


def ask(kernel, code):
    """The lines that ``code`` prints in the kernel."""
    printed = [m["content"]["text"] for m in outputs(kernel, code) if m["msg_type"] == "stream"]
    return "".join(printed).split("\n")[:-1]


def ended(pid):
    """Whether process ``pid`` ends within ten seconds; one that nobody reaps has ended too."""
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def launch(tmp_path):
    """``kernels.start``; what it started is shut down, and leaves no keys behind."""
    started = []

    def launch():
        started.append(kernels.start(tmp_path / f"{len(started)}.json"))
        return started[-1]

    yield launch
    for kernel in started:
        run_sync(kernel.shutdown_kernel)(now=True)
    assert not list(tmp_path.glob("*.json"))


@pytest.fixture(params=[pytest.param(True, marks=LINUX), False], ids=["forked", "own process"])
def start(request, monkeypatch, launch):
    """``launch``, in either way."""
    monkeypatch.setattr(kernels, "_FORK", request.param)
    return launch


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
    kernel = start()
    assert ask(kernel, code) == [multiprocessing.get_start_method()]
    assert ask(kernel, "import sys; print('' in sys.path)") == ["True"]  # files beside the notebook
    assert capfd.readouterr() == ("", "")


def test_kernels_share_nothing(start):
    one, two = start(), start()
    ask(one, "import torch; torch.manual_seed(1); torch.set_num_threads(1); here = 1")
    code = "import torch; print('here' in globals()); print(torch.initial_seed() == 1)"
    assert ask(two, code) == ["False", "False"]
    for code in ("import os; print(os.getpid())", "import numpy; print(numpy.random.rand())"):
        assert ask(one, code) != ask(two, code)


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
    assert ended(pid)


@LINUX
def test_a_killed_kernel_is_seen_to_be_dead_and_can_be_shut_down(start):
    kernel = start()
    assert run_sync(kernel.is_alive)()
    os.kill(int(ask(kernel, "import os; print(os.getpid())")[0]), signal.SIGKILL)
    run_sync(kernel.shutdown_kernel)(now=True)
    assert not run_sync(kernel.is_alive)()


@pytest.mark.skipif(os.name != "posix", reason="POSIX rights")
def test_only_this_user_can_read_a_kernels_keys(start, tmp_path):
    start()
    (keys,) = tmp_path.glob("*.json")
    assert keys.stat().st_mode & 0o77 == 0


def test_pyplot_shows_its_figures(start):
    code = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    assert any("image/png" in m["content"].get("data", {}) for m in outputs(start(), code))


@pytest.fixture
def server(monkeypatch):
    """Kernels are forked, the first of a test from a new fork server."""
    monkeypatch.setattr(kernels, "_FORK", True)
    monkeypatch.setattr(kernels._ForkServer, "running", None)
    yield kernels._ForkServer
    if kernels._ForkServer.running:
        kernels._ForkServer.running.process.kill()


def parent(kernel):
    return int(ask(kernel, "import os; print(os.getppid())")[0])


@LINUX
def test_forked_kernels_have_the_imports_and_come_from_one_process(server, launch):
    for kernel in (launch(), launch()):
        assert ask(kernel, "import sys; print('torchvision' in sys.modules)") == ["True"]
        assert parent(kernel) == server.running.process.pid


@LINUX
def test_a_file_in_the_working_directory_does_not_pass_for_a_module(
    server, launch, tmp_path, monkeypatch
):
    (tmp_path / "random.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert parent(launch()) == server.running.process.pid


@LINUX
@pytest.mark.parametrize("when", ["its imports fail", "it is killed"])
def test_where_nothing_can_be_forked_kernels_start_as_elsewhere(
    server, launch, tmp_path, monkeypatch, when
):
    if when == "its imports fail":
        (tmp_path / "torchvision.py").write_text("raise OSError('a library is missing')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        kernels.start_fork_server()
        monkeypatch.delenv("PYTHONPATH")
    else:
        launch()
        server.running.process.kill()
        server.running.process.wait()
    assert parent(launch()) == os.getpid()


@LINUX
@pytest.mark.parametrize("how", ["returns", "is killed"])
def test_kernels_end_with_the_process_that_started_them(tmp_path, how):
    # Neither a main guard nor a shutdown: both are easily forgotten.
    script = tmp_path / "script.py"
    end = "" if how == "returns" else "import signal; os.kill(os.getpid(), signal.SIGKILL)"
    script.write_text(
        "import os, pathlib\nfrom lab import kernels\n"
        f"keys = pathlib.Path({str(tmp_path / 'keys.json')!r})\n"
        f"print(kernels.start(keys).provisioner.pid, flush=True)\n{end}\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    (pid,) = done.stdout.split()
    assert ended(int(pid))


@LINUX
def test_the_server_ends_with_the_lab_even_while_an_import_hangs(tmp_path):
    begun = tmp_path / "begun"
    (tmp_path / "torchvision.py").write_text(f"open({str(begun)!r}, 'w')\nwhile True: pass\n")
    code = "from lab import kernels; kernels.start_fork_server(); "
    code += "print(kernels._ForkServer.running.process.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=project_root(), text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    ) as lab:  # fmt: skip
        server = int(lab.stdout.readline())
        for _ in range(600):
            if begun.exists():
                break
            time.sleep(0.1)
        assert begun.exists()
        lab.kill()
    assert ended(server)
