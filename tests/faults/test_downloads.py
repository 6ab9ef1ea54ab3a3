"""A download that goes wrong in any way: drawn images and a warning, no traceback, no hang."""

import http.server
import socket
import threading
import time

import pytest
from torchvision.datasets import CIFAR10

from lab_utils.data import cifar10, sources

pytestmark = pytest.mark.faults
SILENCE = b"..."
_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: "
ANSWERS = {
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "server error": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-nonsense\r\n\r\n",
    "nothing": b"",
    "cut off": _LENGTH + b"1000000\r\n\r\nhalf",
    "empty": _LENGTH + b"0\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
    "another file": _LENGTH + b"9\r\n\r\nnonsense!",
    "a page to log in": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Log in",
    "a redirect to itself": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.fixture
def answer(tmp_path, monkeypatch):
    """A server on this machine that says to everything what its list holds."""
    said: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self):
            self.request.recv(4096)
            if said[0] == SILENCE:
                time.sleep(30)
            else:
                self.request.sendall(said[0])

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.handle_error = lambda *_: None
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{httpd.server_address[1]}/")
        monkeypatch.setattr(cifar10, "project_root", lambda: tmp_path)
        monkeypatch.delenv("LAB_DATA_DIR", raising=False)
        yield said
        httpd.shutdown()


def test_whatever_a_server_answers_the_lab_draws_images_and_says_why(answer, survived):
    for name, content in ANSWERS.items():
        cifar10.cifar10_folder.cache_clear()
        answer[:] = [content]
        data, why = sources.resolve_auto()
        assert data == "shapes", name
        assert "could not be downloaded" in why
        assert why.count("\n") == 0, name
    cifar10.cifar10_folder.cache_clear()
    survived("answers of a server to the download", len(ANSWERS), "shapes, and a sentence why")


def test_a_server_that_says_nothing_is_not_waited_for(full, answer, survived):
    if not full:
        pytest.skip("waits for ten seconds: pytest -m faults")
    cifar10.cifar10_folder.cache_clear()
    answer[:] = [SILENCE]
    started = time.perf_counter()
    data, why = sources.resolve_auto()
    assert data == "shapes" and "timed out" in why
    assert 9 < time.perf_counter() - started < 25
    cifar10.cifar10_folder.cache_clear()
    survived("a server that says nothing", 1, "shapes, and a sentence why, after ten seconds")


def test_no_server_at_all_is_said_too(answer, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{port}/")
    cifar10.cifar10_folder.cache_clear()
    assert sources.resolve_auto()[0] == "shapes"
    cifar10.cifar10_folder.cache_clear()
