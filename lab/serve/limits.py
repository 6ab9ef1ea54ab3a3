"""What a request may cost, and how one that would cost more is refused."""

import asyncio
from dataclasses import dataclass
import logging
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.serve.metrics import Metrics

# What a browser may do with an answer: load this service's own files, and nothing else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HOSTS = ("127.0.0.1", "localhost")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What the service takes; the status says how it refuses what is beyond."""

    bytes: int = 16_000_000  # of a request: 413
    files: int = 32  # pictures in a request: 413
    pixels: int = 25_000_000  # of a picture, which takes 100 MB once decoded: 422
    requests: int = 128  # accepted and not yet answered: 429
    seconds: float = 10.0  # from the first byte to the answer: 503


class Refused(HTTPException):
    """A request that is not served: its status, and the reason in a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        again = {"Retry-After": "1"} if status in (429, 503) else None
        super().__init__(status, reason, again)


def refusal(error: HTTPException) -> JSONResponse:
    """The answer that refuses a request: its status, and the reason as JSON."""
    return JSONResponse({"reason": error.detail}, error.status_code, error.headers)


class Gate:
    """The door of an ASGI application: who may come in, how many, how large, for how long.

    It refuses before a body is read. ``stopping`` is set once and for all: from then on nothing new
    comes in, while the ``under_way`` requests inside are answered.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self.stopping, self.under_way = False, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the start and the end of the application
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(k.lower().encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        try:
            await self._let_in(scope, receive, send_noted)
        except Refused as error:
            if not status:
                await refusal(error)(scope, receive, send_noted)
        except Exception:  # answered with 500 by now; raised on, it would cost the connection
            _log.exception("A request to %s failed.", scope["path"])
        finally:
            self.metrics.request(scope["path"], status, time.perf_counter() - began)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the application, a POST within the limits; raises Refused."""
        headers, limits = Headers(scope=scope), self.limits
        # A page elsewhere whose name points to this machine must not read the answers.
        if headers.get("host", "").partition(":")[0] not in _HOSTS:
            raise Refused(400, f"This service answers to {' and '.join(_HOSTS)} alone.")
        if scope["method"] != "POST":
            return await self.app(scope, receive, send)
        if self.stopping:
            raise Refused(503, "The service is stopping and takes nothing new.")
        if self.under_way >= limits.requests:
            raise Refused(429, f"{limits.requests} requests are waiting already; try again soon.")
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limits.bytes:
            raise self._too_large()
        self.under_way += 1
        self.metrics.under_way.set(self.under_way)
        try:
            async with asyncio.timeout(limits.seconds):
                await self.app(scope, self._counted(receive), send)
        except TimeoutError:
            raise Refused(503, f"This took longer than {limits.seconds:g} s; try again.") from None
        finally:
            self.under_way -= 1
            self.metrics.under_way.set(self.under_way)

    def _counted(self, receive: Receive) -> Receive:
        """``receive``, which raises Refused once the body is larger than it may be."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limits.bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> Refused:
        megabytes = self.limits.bytes / 1e6
        return Refused(413, f"The request is larger than {megabytes:g} MB; send less at once.")
