"""The command: where it listens, what it says, how it stops."""

import http.client
import re
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from serving import encoded, make_served, noise, predict, serving, wait_until

from lab.cli import main
from lab.serve.server import bound
from lab_utils import LabError
from lab_utils.core.params import project_root


def begin_upload(port, content):
    """A request that is accepted and not whole yet: its connection, and the bytes that miss."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="late.png"\r\n\r\n'
    body = head + content + b"\r\n--x--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:100])
    return connection, body[100:]


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_command_serves_on_this_machine_alone_and_stops_when_all_is_answered(runs):
    make_served(runs / "tiny")
    command = [sys.executable, "-m", "lab", "serve", "tiny", "--port", "0"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=project_root(), **options) as process:
        try:
            line = process.stdout.readline()
            port = int(
                re.fullmatch(r"Run 'tiny' is served at http://127.0.0.1:(\d+) .*\n", line)[1]
            )
            listening = [
                c.laddr
                for c in psutil.Process(process.pid).net_connections()
                if c.status == "LISTEN"
            ]
            assert listening == [("127.0.0.1", port)]
            connection, rest = begin_upload(port, encoded(noise(1)))
            wait_until(lambda: "lab_requests_under_way 1.0" in get(port, "/metrics")[1])
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: get(port, "/readyz")[0] == 503)
            assert get(port, "/healthz")[0] == 200
            late, late_rest = begin_upload(port, encoded(noise(2)))
            late.send(late_rest)
            refused = late.getresponse()
            assert (refused.status, b"stopping" in refused.read()) == (503, True)
            connection.send(rest)  # accepted before, so it is answered
            answer = connection.getresponse()
            assert (answer.status, b"late.png" in answer.read()) == (200, True)
            assert process.wait(30) == 0
        finally:
            process.kill()
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    with pytest.raises(ConnectionRefusedError):
        get(port, "/healthz")


def test_ctrl_c_waits_for_what_was_accepted_and_a_second_one_does_not(held):
    with serving(held, seconds=30) as client:
        connection, _ = begin_upload(client.base_url.port, encoded(noise(1)))
        wait_until(lambda: client.gate.under_way == 1)
        client.server.handle_exit(signal.SIGINT, None)
        assert predict(client, encoded(noise(2))).status_code == 503
        assert not client.server.force_exit
        client.server.handle_exit(signal.SIGINT, None)
        client.thread.join(30)
        assert not client.thread.is_alive()
        connection.close()


def test_what_cannot_be_served_is_said_in_a_sentence(runs, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        make_served(runs / "tiny")
        (make_served(runs / "untrained").file("checkpoints/best.pt")).unlink()
        for arguments, words in (
            (["nobody"], "No run named 'nobody'"),
            (["tiny", "--port", str(taken)], f"Port {taken} cannot be used"),
            (["tiny", "--port", "70000"], "Port 70000 cannot be used"),
            (["untrained", "--port", "0"], "untrained"),
        ):
            assert main(["serve", *arguments]) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.startswith("lab: ")
            assert words in said.err
            assert said.err.count("\n") == 1


def test_an_answer_is_sent_at_once_and_not_once_the_last_is_acknowledged(client, monkeypatch):
    seen = []
    monkeypatch.setattr(client.gate, "app", _noting(client.gate.app, client.server, seen))
    assert client.get("/healthz").status_code == 200
    assert set(seen) == {1}


def _noting(app, server, seen):
    async def noting(scope, receive, send):
        for connection in server.server_state.connections:
            sock = connection.transport.get_extra_info("socket")
            seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await app(scope, receive, send)

    return noting


def test_two_services_cannot_share_a_port():
    with bound(0) as first, pytest.raises(LabError, match="choose another with --port"):
        bound(first.getsockname()[1])
