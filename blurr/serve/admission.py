"""Refuse requests before they are read: of a stranger's host, without the token, of another type, too large."""

import hmac
import json
import re
import time
from dataclasses import dataclass, field
from ipaddress import ip_address

from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blurr.errors import InputError

LOCAL = ("localhost", "127.0.0.1", "[::1]")
API = "/v1"  # of OpenAI's shape, errors included
COMPLETIONS = f"{API}/chat/completions"
COUNTED = ("/predict", COMPLETIONS)  # paths whose requests are counted, timed and limited in size
OPEN = ("/", "/docs", "/openapi.json", "/health", "/ready")  # need no token: probes, and how to call the rest
OF_TEXTS, OF_FILES = 1_000_000, 32_000_000  # bytes of a request
FORM = "multipart/form-data"
JSON = re.compile(r"application/([^;]+\+)?json")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # buckets of the histogram of batch sizes


@dataclass(frozen=True)
class Limits:
    """What is refused.

    Args:
        items: number of items in a request.
        bytes: size of a request; `None` is a million, and 32 million where the model reads files.
        seconds: time for a request to arrive, for its answer to be found, and for its client to read it, each.
        waiting: number of items that may wait before requests are refused.
        hosts: names under which the server may be called; `None` lets any pass.
        token: what a request has to present; `None` asks for none.
        files: whether a request may be a form with files.
        held: bytes of all requests that are being answered.
    """

    items: int = 256
    bytes: int | None = None
    seconds: float = 30.0
    waiting: int = 2048
    hosts: frozenset[str] | None = None
    token: str | None = field(default=None, repr=False)
    files: bool = False
    held: int = 2**30

    @property
    def most_bytes(self) -> int:
        """Size of a request."""
        return self.bytes or (OF_FILES if self.files else OF_TEXTS)


class Numbers:
    """The metrics that Prometheus reads at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        said = "Requests for predictions by status."
        self.requests = Counter("blurr_requests", said, ["status"], registry=self.registry)
        self.seconds = Histogram(
            "blurr_request_seconds", "Time to answer a request for predictions.", registry=self.registry
        )
        self.batches = Histogram(
            "blurr_batch_items", "Items in a batch of the model.", buckets=SIZES, registry=self.registry
        )
        self.waiting = Gauge("blurr_waiting_items", "Items that wait for the model.", registry=self.registry)


class Admission:
    """Refuse requests by their heads; count and time those for predictions.

    Plain ASGI, because FastAPI's own decorator for middleware takes as long as predicting a short text.
    """

    def __init__(self, app: ASGIApp, limits: Limits, numbers: Numbers) -> None:
        self.app, self.limits, self.numbers, self.held = app, limits, numbers, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        refusal = self._refusal(scope)
        # whoever may GET may ask for the head alone, of which uvicorn sends no body
        app = refusal or self.app
        scope = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        if scope["path"] not in COUNTED:
            return await app(scope, receive, send)
        size = 0 if refusal else max(_size(Headers(scope=scope)), 0)
        started, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.held += size
        try:
            await app(scope, receive, seen)
        finally:
            self.held -= size
        self.numbers.requests.labels(status).inc()
        self.numbers.seconds.observe(time.perf_counter() - started)
        return None

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        refusal = self._of_host(headers)
        if refusal is None and self.limits.token is not None and scope["path"] not in OPEN:
            refusal = self._of_token(headers, self.limits.token)
        if refusal is None and scope["path"] in COUNTED and scope["method"] == "POST":
            refusal = self._of_body(headers)
        if refusal is not None and scope["path"].startswith(f"{API}/"):
            return _in_their_shape(refusal)
        return refusal

    def _of_host(self, headers: Headers) -> JSONResponse | None:
        given = headers.getlist("host")
        if self.limits.hosts is None or (len(given) == 1 and host_name(given[0]) in self.limits.hosts):
            return None
        said = f"This server does not answer as {', '.join(given)!r}, only as {', '.join(sorted(self.limits.hosts))}."
        return refuse(421, f"{said} If that is a name of its own, start it with --allowed-hosts.")

    def _of_token(self, headers: Headers, token: str) -> JSONResponse | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        said = "The token is wrong." if given else "This needs a token: send it as `Authorization: Bearer TOKEN`."
        return refuse(401, said, **{"WWW-Authenticate": "Bearer" + ' error="invalid_token"' * bool(given)})

    def _of_body(self, headers: Headers) -> JSONResponse | None:
        size, kind = _size(headers), headers.get("content-type", "")
        if size < 0:
            return refuse(411, "A request needs a Content-Length.")
        if size > self.limits.most_bytes:
            return refuse(413, f"A request has at most {self.limits.most_bytes} bytes; this one has {size}.")
        if self.held + size > max(self.limits.held, self.limits.most_bytes):
            return refuse(503, "Too many bytes wait already.", **{"Retry-After": "1"})
        return self._of_type(kind, headers)

    def _of_type(self, kind: str, headers: Headers) -> JSONResponse | None:
        known = kind.partition(";")[0].strip().lower()
        if JSON.fullmatch(known):
            return None
        if not self.limits.files or known != FORM:
            form = f", or a form with files as `{FORM}`" if self.limits.files else ""
            return refuse(415, f"A request is JSON: send it as `Content-Type: application/json`{form}, not {kind!r}.")
        if headers.get("sec-fetch-site") == "cross-site":  # a browser asks nobody before it sends a form
            return refuse(403, "A page of another site may not send forms.")
        return None


def _size(headers: Headers) -> int:
    """Return the bytes of a request, -1 where it does not say how many."""
    said = headers.get("content-length", "")
    return int(said) if said.isdecimal() else -1


def refuse(status: int, detail: str, **headers: str) -> JSONResponse:
    """Return an answer with the body of FastAPI's own errors."""
    return JSONResponse({"detail": detail}, status, headers)


def _in_their_shape(refusal: JSONResponse) -> JSONResponse:
    """Return a refusal as OpenAI's API would have it."""
    said = json.loads(bytes(refusal.body))["detail"]
    kind = "server_error" if refusal.status_code >= 500 else "invalid_request_error"
    error = {"message": said, "type": kind, "param": None, "code": None}
    kept = {name: value for name, value in refusal.headers.items() if name not in ("content-length", "content-type")}
    return JSONResponse({"error": error}, refusal.status_code, kept)


def host_name(given: str) -> str:
    """Return the name in a Host header without its port; an address of IPv6 keeps its brackets."""
    name = given.strip().lower()
    return f"{name.partition(']')[0]}]" if name.startswith("[") else name.partition(":")[0]


def allowed_hosts(given: str | None, host: str, address: str) -> frozenset[str] | None:
    """Return the names under which a server may be called, `None` for any.

    A page of somebody else's can have its own name resolve to this machine (DNS rebinding), and so read what the server
    answers; but it cannot change the name that the browser then sends.

    Args:
        given: names with commas between them, or `*`; `None` where the user gave none.
        host: what the user has the server listen to.
        address: the address of that.

    Raises:
        InputError: no name is given.
    """
    if given is None:
        return None if ip_address(address).is_unspecified else frozenset((*LOCAL, _bracketed(host)))
    names = [name for part in given.split(",") if (name := _bracketed(part.strip()))]
    if not names:
        raise InputError(f"--allowed-hosts {given!r} has no name. Give names, such as {','.join(LOCAL[:2])}, or *.")
    return None if "*" in names else frozenset(names)


def _bracketed(name: str) -> str:
    is_bare = name.count(":") > 1 and not name.startswith("[")
    return host_name(f"[{name}]" if is_bare else name)


def checked_token(given: str | None, source: str) -> str | None:
    """Return a token that a header can hold.

    Raises:
        InputError: the token is empty, or holds something else than visible ASCII characters; it is not shown.
    """
    if given is not None and not re.fullmatch(r"[!-~]+", given):
        wrong = "is empty" if not given else "holds a blank, or a character that is not ASCII"
        raise InputError(f"{source} {wrong}. Give a long random word, as `openssl rand -hex 32` prints it.")
    return given
