"""Quiet and closed: no command reaches another machine, and no server can be reached from one."""

from contextlib import suppress
import json
import os
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

from fabricate import make_run
import psutil
import pytest
from serving import make_served

from lab_utils.core.params import project_root
from lab_utils.core.run import RECORDS

pytestmark = pytest.mark.faults
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture
def watched(tmp_path):
    """The environment for runs in ``tmp_path``, and what is noted of all that is started in it."""
    log = tmp_path / "reached"
    root = project_root()
    environment = os.environ | {
        "LAB_RUNS_DIR": str(tmp_path), "LAB_SET": "", "LAB_TEST_LOG": str(log),
        "PYTHONPATH": f"{root / 'tests/watched'}{os.pathsep}{root}", "BROWSER": "true",
    }  # fmt: skip

    def reached():
        lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
        return {what for kind, what in lines if kind == "connect"}

    return environment, reached


def listening(process):
    """Where ``process`` and all that it started listen; empty where it has not begun to."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        try:
            found |= {c.laddr for c in one.net_connections("inet") if c.status == "LISTEN"}
        except psutil.Error:  # it has just ended
            continue
    return found


def started(words, environment, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "lab", *words], env=environment, cwd=project_root(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_what_reads_runs_reaches_no_other_machine(survived, watched, tmp_path):
    environment, reached = watched
    make_run(tmp_path / "quick")
    commands = (["list"], ["report", "quick"], ["verify", "quick"], ["compare", "quick"])
    code = (
        "import socket; from lab.cli import main\n"
        "socket.socket().connect_ex(('127.0.0.1', 9))\n"  # to see that it is noted
        f"for words in {commands!r}: main(words)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=project_root(), capture_output=True,
        text=True,
    )  # fmt: skip
    assert "report" in done.stdout, done.stderr
    assert reached() == {"127.0.0.1"}
    survived("commands that read runs, watched", len(commands), "no socket but loopback")


def test_the_watcher_notes_this_machine_and_refuses_all_others(watched):
    environment, reached = watched
    places = [
        "socket.create_connection(('192.0.2.1', 80))", "socket.getaddrinfo('example.invalid', 80)",
        "socket.gethostbyname('example.invalid')",
        "socket.gethostbyname('127.example.invalid')",
        "socket.socket(socket.AF_INET6).connect(('::1234', 80))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'?', ('192.0.2.2', 53))",
    ]  # fmt: skip
    code = "import socket\nwith socket.create_server(('127.0.0.1', 0)) as server:\n"
    code += "    socket.create_connection(server.getsockname()).close()\n"
    for place in places:
        code += f"try: {place}\nexcept OSError as error: assert 'out of reach' in str(error)\n"
        code += "else: raise AssertionError\n"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    there = {"192.0.2.1", "192.0.2.2", "2001:db8::1", "::1234"}
    there |= {"example.invalid", "127.example.invalid"}
    assert reached() - {""} == {"127.0.0.1"} | there


def test_a_whole_run_with_the_optional_steps_reaches_no_other_machine(
    full, survived, watched, tmp_path
):
    """With the notebooks themselves; a run of the first six is watched in tests/lab, too."""
    if not full:
        pytest.skip("takes a minute: pytest -m faults")
    environment, reached = watched
    small = ["data=shapes", "train_size=2000", "test_size=500", "threads=1", "epochs=1"]
    with started(["run", "smoke", "--name", "all", "--all", "--set", *small], environment) as run:
        errors = run.communicate()[1]
    assert (run.returncode, errors) == (0, "")
    steps = json.loads((tmp_path / "all/manifest.json").read_text())
    assert sorted(step for step, e in steps.items() if e["status"] == "done") == sorted(RECORDS)
    assert reached() <= LOOPBACK
    survived("`lab run --all`, all else refused", 1, "loopback alone, nothing missed")


def test_a_service_listens_and_asks_on_this_machine_alone(full, survived, watched, tmp_path):
    if not full:
        pytest.skip("takes ten seconds: pytest -m faults")
    environment, reached = watched
    make_served(tmp_path / "tiny")
    with started(["serve", "tiny", "--port", "0"], environment) as process:
        try:
            address = process.stdout.readline().split(" at ")[1].split()[0]
            assert urlopen(address, timeout=30).status == 200
            ports = listening(psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert {port.ip for port in ports} == {"127.0.0.1"}
    assert reached() <= LOOPBACK
    survived("`lab serve`, watched", 1, "listens and asks on loopback alone")


def test_a_sweeps_kernels_listen_and_ask_on_this_machine_alone(full, survived, watched, tmp_path):
    if not full:
        pytest.skip("takes half a minute: pytest -m faults")
    environment, reached = watched
    settings = ["data=shapes", "train_size=2000", "test_size=500", "threads=1", "epochs=1"]
    seen = set()
    with started(["sweep", "smoke", "--set", *settings], environment) as process:
        while process.poll() is None:
            seen |= listening(psutil.Process(process.pid))
            time.sleep(0.2)
        assert process.returncode == 0, process.stderr.read()
    assert {port.ip for port in seen} == {"127.0.0.1"}
    assert reached() <= LOOPBACK
    survived("`lab sweep` and its kernels, watched", len(seen), "sockets, on loopback alone")


@pytest.mark.skipif(os.name != "posix", reason="ends it with a signal")
@pytest.mark.parametrize("page", ["lab", "lab/api/update"])
def test_jupyterlab_listens_on_this_machine_alone(full, survived, watched, tmp_path, page):
    if not full:
        pytest.skip("takes ten seconds: pytest -m faults")
    environment, reached = watched
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment |= {name: str(tmp_path / name) for name in places}
    config = tmp_path / "JUPYTER_CONFIG_DIR" / "jupyter_server_config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"ServerApp": {"allow_root": True, "open_browser": False}}))
    with started(["open"], environment, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not (told := [*tmp_path.glob("JUPYTER_RUNTIME_DIR/jpserver-*.json")]):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            server = json.loads(told[0].read_text())
            urlopen(f"{server['url']}{page}?token={server['token']}", timeout=30).read()
            ports = listening(lab := psutil.Process(process.pid))
            tree = [lab, *lab.children(recursive=True)]
            process.terminate()  # `lab` alone, as a service manager does
            process.wait(30)
            assert psutil.wait_procs(tree, timeout=30)[1] == []
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert ports and {port.ip for port in ports} <= LOOPBACK
    assert reached() <= LOOPBACK
    survived(f"`lab open` at {page}, watched", 1, "listens and asks on loopback alone")
