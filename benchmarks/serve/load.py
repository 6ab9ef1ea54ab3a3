"""What `lab serve` answers a second, and whether it keeps its word under load; on loopback.

Clients keep a connection each and ask again as soon as they are answered, about test images whose
answers are known. Nothing may be lost, nothing wrong; beyond its limits the service refuses.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
import http.client
from io import BytesIO
import json
import os
from pathlib import Path
import subprocess
import sys
import threading
import time

import numpy as np
from PIL import Image
import psutil

from benchmarks.common import say
from lab_utils.core.files import write_json
from lab_utils.core.params import project_root

_HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}


@dataclass(frozen=True)
class Load:
    """What some clients saw."""

    clients: int
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]  # "lost": no answer came
    wrong: int  # answers that are another picture's


class Service:
    """A running ``lab serve`` and the answers that it should give, by number of the test image."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process, self.port = process, port
        count = len(json.loads(self.ask("GET", "/model")[1])["samples"])
        self.bodies = [_body(self.ask("GET", f"/samples/{n}")[1]) for n in range(count)]
        self.expected = [self._answer(body) for body in self.bodies]

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            return _ask(connection, method, path, body)
        finally:
            connection.close()

    def _answer(self, body: bytes) -> dict[str, float]:
        return json.loads(self.ask("POST", "/predict", body)[1])["predictions"][0]["probabilities"]

    def memory_mb(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None):
    connection.request(method, path, body, _HEADERS if body else {})
    response = connection.getresponse()
    return response.status, response.read()


def _body(content: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return head + content + b"\r\n--x--\r\n"


@contextmanager
def serving(run: str):
    """``lab serve`` in a process of its own."""
    command = [sys.executable, "-m", "lab", "serve", run, "--port", "0"]
    options = {"cwd": project_root(), "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"benchmarks.serve: `lab serve {run}` did not start.")
        try:
            yield Service(process, int(line.partition("127.0.0.1:")[2].split()[0]))
        finally:
            process.terminate()
            process.wait(30)


def load(service: Service, clients: int, requests: int) -> Load:
    """``clients`` that together ask ``requests`` times."""
    with ThreadPoolExecutor(clients) as pool:
        began = time.perf_counter()
        parts = pool.map(lambda n: _client(service, n, requests // clients), range(clients))
        seen = [s for part in parts for s in part]
        seconds = time.perf_counter() - began
    answered = [taken for status, taken, _ in seen if status == "200"]
    p50, p99 = np.percentile(answered, (50, 99)) * 1000 if answered else (np.nan, np.nan)
    wrong = sum(not right for status, _, right in seen if status == "200")
    statuses = dict(Counter(status for status, *_ in seen))
    return Load(clients, len(seen), len(answered) / seconds, p50, p99, statuses, wrong)


def _client(service: Service, first: int, requests: int) -> list[tuple[str, float, bool]]:
    """For each request its status, the seconds it took, and whether the answer was right.

    Each client begins with another picture, the ``first``.
    """
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    seen = []
    for number in range(requests):
        chosen, began = (first + number) % len(service.bodies), time.perf_counter()
        try:
            status, content = _ask(connection, "POST", "/predict", service.bodies[chosen])
        except (OSError, http.client.HTTPException):
            connection.close()
            seen.append(("lost", 0.0, True))
            continue
        right = status != 200 or _same(json.loads(content), service.expected[chosen])
        seen.append((str(status), time.perf_counter() - began, right))
    connection.close()
    return seen


def _same(answer: dict, expected: dict[str, float]) -> bool:
    found = answer["predictions"][0]["probabilities"]
    return all(abs(found[label] - share) < 1e-4 for label, share in expected.items())


def overload(service: Service) -> dict[str, object]:
    """Twice as many clients as the service takes, with larger pictures; then one small one."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1)
    body = _body(buffer.getvalue())
    with ThreadPoolExecutor(256) as pool:
        statuses = Counter(pool.map(lambda _: _status(service, body), range(1024)))
    began = time.perf_counter()
    after = service.ask("POST", "/predict", service.bodies[0])[0]
    return {
        "statuses": statuses,
        "status_after": after,
        "seconds_after": time.perf_counter() - began,
    }


def _status(service: Service, body: bytes) -> str:
    try:
        return str(service.ask("POST", "/predict", body)[0])
    except (OSError, http.client.HTTPException):
        return "lost"


def killed(run: str) -> dict[str, object]:
    """SIGKILL in the middle of a load: what had left the service by then."""
    with serving(run) as service:
        timer = threading.Timer(1.5, service.process.kill)
        timer.start()
        found = load(service, 16, 16 * 500)
    return {"statuses": found.statuses, "wrong": found.wrong}


def flat_memory(service: Service, requests: int) -> dict[str, float]:
    """Resident megabytes after a tenth of ``requests`` and after all of them."""
    load(service, 8, requests // 10)
    before = service.memory_mb()
    load(service, 8, requests - requests // 10)
    return {"requests": requests, "before_mb": before, "after_mb": service.memory_mb()}


def main(words: list[str] | None = None) -> None:
    """Measure all of it, print the figures as JSON and write them where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("run", help="a run with a model; `lab list` shows them")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--requests", type=int, default=2000, help="for each number of clients")
    parser.add_argument("--memory-requests", type=int, default=10_000)
    arguments = parser.parse_args(words)
    parts: dict[str, object] = {"cores": os.cpu_count()}

    def part(name: str, measure: Callable[[], object]) -> None:
        parts[name] = measure()
        say(f"{name}: {parts[name]}")

    with serving(arguments.run) as service:
        load(service, 8, 200)  # warm
        for clients in (1, 8, 64):
            part(
                f"{clients} clients", lambda n=clients: asdict(load(service, n, arguments.requests))
            )
        part("overload", lambda: overload(service))
        part("memory", lambda: flat_memory(service, arguments.memory_requests))
    part("killed", lambda: killed(arguments.run))
    print(json.dumps(parts, indent=1))
    if arguments.json:
        write_json(arguments.json, parts)
