"""Runs the service on this machine alone, from ``lab serve`` until a signal stops it."""

import os
import signal
import socket
from types import FrameType
import warnings

import torch
import uvicorn

from lab.serve.app import application
from lab.serve.limits import Gate, Limits
from lab.serve.model import Model
from lab_utils import LabError
from lab_utils.core.run import Run

HOST = "127.0.0.1"


def serve(run: Run, port: int) -> None:
    """Serve the model of ``run`` until Ctrl-C or SIGTERM; what was accepted by then is answered.

    Port 0 is any free one. Raises LabError where the port is taken or the run has no model.
    """
    listener = bound(port)  # first, as it takes no time
    warnings.filterwarnings("ignore", module="PIL")  # of strangers' pictures, to the console
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))  # decoding takes cores as well
    gate = application(Model(run), Limits())
    address = f"http://{HOST}:{listener.getsockname()[1]}"
    Server(gate, f"Run {run.name!r} is served at {address} until Ctrl-C.").run([listener])


def bound(port: int) -> socket.socket:
    """A socket that listens at ``port`` of this machine alone; LabError where that is taken."""
    # With the protocol named, asyncio sends small packets at once (TCP_NODELAY); without, the
    # second answer on a connection would wait 40 ms for the client to acknowledge the first.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere it would let two services share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # from now on the port is taken; who asks early waits for the model
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or "ports go from 0 to 65535"
        mend = "choose another with --port, or 0 for any free one"
        raise LabError(f"Port {port} cannot be used ({why}); {mend}.") from None
    return listener


class Server(uvicorn.Server):
    """Uvicorn that goes on listening while it finishes, so that a late request is told why."""

    def __init__(self, gate: Gate, line: str) -> None:
        config = uvicorn.Config(
            gate, http="h11", ws="none", lifespan="off", log_level="warning", access_log=False,
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=15,
        )  # fmt: skip
        super().__init__(config)
        self.gate, self.line = gate, line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say where."""
        await super().startup(sockets)
        print(self.line, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop once everything is answered; at a second Ctrl-C at once.

        Uvicorn would raise the signal again at the end, and the exit code would not be 0.
        """
        self.force_exit = self.gate.stopping and sig == signal.SIGINT
        self.gate.stopping = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to leave the main loop, asked ten times a second."""
        self.should_exit = self.force_exit or (self.gate.stopping and not self.gate.under_way)
        return await super().on_tick(counter)
