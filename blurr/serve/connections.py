"""Run a server, and end the connections whose clients keep it waiting."""

import asyncio
import itertools
import os
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from blurr.errors import ResourceError, visible
from blurr.process.systems import HAS_LIMITS
from blurr.serve.admission import Limits

MOST = 1000  # connections
SPARE = 32  # files that a process opens besides, such as a module that is imported late
HEAD = 65536  # bytes of a request's head, as h11 has it; httptools has no limit
CLOSED = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
LATE, LARGE = CLOSED % b"408 Request Timeout", CLOSED % b"431 Request Header Fields Too Large"
NUMBERS = itertools.count()  # of connections, in the order in which they are made


class Connection(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """uvicorn's connection, with a deadline for all that is up to its client, and a limit to their number.

    uvicorn's own time-outs begin after the head of a request, and one byte ends them. It parses by httptools, or by h11
    where there is none; both classes keep the request in progress in `cycle`.

    Attributes:
        number: counts the connections of the process.

    Args:
        given: see uvicorn.
        seconds: for a request to arrive, and for an answer to be read.
        most: number of connections. One more ends the one that has waited longest for its client.
    """

    def __init__(self, *given: Any, seconds: float, most: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self.seconds, self.most, self.number = seconds, most, next(NUMBERS)
        self._owed: Any = None
        self._since, self._head, self._in_head = 0.0, 0, False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._since = self.loop.time()
        self._check()
        if len(self.connections) > self.most:
            waiting = {each: since for each in self.connections if (since := each.waits_since()) is not None}
            # a clock may give several the same time
            last = min(waiting, key=lambda each: (waiting[each], each.number), default=self)
            last.transport.abort()
            self.connections.discard(last)  # not later: several connections may be made at once

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > HEAD and not self.transport.is_closing():
            self.transport.write(LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Called by httptools."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        self._in_head = False
        super().on_headers_complete()

    def waits_since(self) -> float | None:
        """Return since when the client has owed a request or the reading of an answer, `None` if it owes nothing."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            owed: Any = (cycle, cycle is not None and cycle.response_complete)
        else:
            owed = (cycle, "reading") if self.transport.get_write_buffer_size() else None
        if owed != self._owed:
            self._owed, self._since = owed, self.loop.time()
        return None if owed is None else self._since

    def _check(self) -> None:
        """End the connection if its client is late, and look again later."""
        since = self.waits_since()
        if since is not None and self.loop.time() - since > self.seconds:
            if self.transport.is_closing():  # what is written is not read, so that it would never close
                self.transport.abort()
            elif self.cycle is None or not self.cycle.response_started:
                self.transport.write(LATE)
            self.transport.close()
        self._timer: asyncio.TimerHandle = self.loop.call_later(self.seconds / 8, self._check)


class Server(uvicorn.Server):
    """uvicorn's server, which says when it answers.

    Args:
        config: see uvicorn.
        started: called once it answers.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._say = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say()


class Logged:
    """Writes a line to stderr for each request: time, method, path, status, milliseconds.

    Args:
        app: answers them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun, status = time.perf_counter(), "-"

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            took = f"{1000 * (time.perf_counter() - begun):.0f} ms"
            sys.stderr.write(f"{datetime.now():%H:%M:%S} {scope['method']} {visible(scope['path'])} {status} {took}\n")
            sys.stderr.flush()


def run(app: ASGIApp, listening: socket.socket, limits: Limits, *, started: Callable[[], None] = lambda: None) -> None:
    """Answer requests until SIGINT or SIGTERM; those that have begun are answered before.

    Args:
        app: the application.
        listening: has a port.
        limits: see `Limits`.
        started: called once requests are answered.

    Raises:
        ResourceError: the process may open too few files.
    """
    Server(config_of(app, limits, most=room()), started).run([listening])


def config_of(app: ASGIApp, limits: Limits, *, most: int) -> uvicorn.Config:
    """Return uvicorn's settings.

    Args:
        app: the application.
        limits: see `Limits`.
        most: number of connections at a time.
    """
    http: Any = partial(Connection, seconds=limits.seconds, most=most)
    wait = round(limits.seconds) + 1
    # asyncio accepts all that waits, twice, before the first of it is counted; a WebSocket would be of another class
    options: Any = {"http": http, "ws": "none", "backlog": most // 3, "timeout_graceful_shutdown": wait}
    return uvicorn.Config(app, log_level="warning", **options)


def room() -> int:
    """Return how many connections there may be at a time, by the files that the process may open."""
    if not HAS_LIMITS:
        return MOST
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST
    left = (soft - len(os.listdir("/dev/fd")) - SPARE) // 2
    if left < 8:
        raise ResourceError(f"This process may open {soft} files, too few to serve. Allow more, by `ulimit -n 1024`.")
    return min(MOST, left)
