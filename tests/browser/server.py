"""A JupyterLab of this environment on the loopback, with settings of its own, ended by its id."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import json
import os
from pathlib import Path
import secrets
import shutil
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from lab_utils.core.params import project_root

_CONFIG = """\
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.expose_app_in_browser = True
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port_retries = 0
"""
_LEFT_OUT = (".*", "__pycache__", "runs", "tests", "*.egg-info")


def copy_of_the_lab(folder: Path) -> Path:
    """The project as a student has it, without runs: what is typed there changes no notebook."""
    return Path(shutil.copytree(project_root(), folder, ignore=shutil.ignore_patterns(*_LEFT_OUT)))


@contextmanager
def jupyter_lab(start: Path, scratch: Path, **environment: str) -> Iterator[str]:
    """Serve JupyterLab from the folder ``start``; gives its address with ``{}`` for a path.

    Its settings and the list of its kernels lie in ``scratch``. When the context ends, the server
    and all that it started are ended, however it ends.
    """
    folders = {
        name: str(scratch / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
            "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
        )
    }  # fmt: skip
    config = Path(folders["JUPYTER_CONFIG_DIR"])
    config.mkdir(parents=True, exist_ok=True)
    (config / "jupyter_server_config.py").write_text(_CONFIG, encoding="utf-8")
    asks = Path(folders["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension")
    asks.mkdir(parents=True, exist_ok=True)
    (asks / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}"]
    environment = os.environ | folders | {"JUPYTER_TOKEN": token} | environment
    with (scratch / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=start, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/api/status?token={token}", server, scratch / "server.log")
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}"
    finally:
        _end(server)


def _wait(address: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    """Until the server answers; AssertionError with its log where it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with suppress(URLError, ConnectionError), urlopen(address, timeout=5) as answer:
            json.load(answer)
            return
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer:\n{log.read_text()[-3000:]}")


def _end(server: subprocess.Popen) -> None:
    """End the server, which ends its kernels, then whatever of them is left."""
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(15)
        for process in [*started, psutil.Process(server.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    server.wait(10)
