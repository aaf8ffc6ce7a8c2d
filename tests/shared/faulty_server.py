"""A proxy before an MLflow server that answers 500, loses answers, or hangs, as it is told."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mode = Literal["pass", "fail", "lose", "hang"]
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "content-encoding"}


class FaultyServer(ThreadingHTTPServer):
    """Passes requests on to a port of this machine.

    Attributes:
        behind: the port.
        mode: `pass`; `fail` answers 500 in place of the server; `lose` passes the request on and answers 500 all the
            same; `hang` takes a request and never answers.
        counts: requests that came in each mode.
    """

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = behind
        self.mode: Mode = "pass"
        self.counts: dict[str, int] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up is none of the test's affairs."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def handle_request(self) -> None:
        mode = self.server.mode
        self.server.counts[mode] = self.server.counts.get(mode, 0) + 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        while self.server.mode == mode == "hang":
            time.sleep(0.05)
        if mode == "hang":
            self.close_connection = True
            return
        status, headers, content = (500, [], b"{}") if mode == "fail" else self.passed_on(body)
        if mode == "lose":
            status, headers, content = 500, [], b"{}"
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {*HOP, "host", "accept-encoding"}}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP], answer.read()
        except OSError:  # the server behind is stopped
            return 502, [], b"{}"
        finally:
            connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def before(port: int) -> Iterator[FaultyServer]:
    """Stand before the server of a port until the block ends."""
    server = FaultyServer(port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.mode = "pass"
        server.shutdown()
        server.server_close()
