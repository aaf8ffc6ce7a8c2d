"""Clients that are slow, silent or too many are ended, and the others are answered meanwhile."""

import importlib.util
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from blurr.errors import ResourceError
from blurr.serve import connections
from blurr.serve.admission import Limits
from blurr.serve.connections import MOST, SPARE, room

SECONDS = 0.5
LARGE = b"x" * 20_000_000  # more than the system's buffers hold
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read a request, and answer with as much as its path asks for."""
    if scope["type"] == "lifespan":
        return
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    body = LARGE if scope["path"] == "/large" else b"well"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(module: Any = connections, **limits: Any) -> Iterator[tuple[str, int]]:
    """Run a server in a thread; gives its address."""
    most = limits.pop("most", 100)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(module.config_of(app, Limits(**limits), most=most))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="module", params=[HttpToolsProtocol, H11Protocol], ids=["httptools", "h11"])
def address(request) -> Iterator[tuple[str, int]]:
    """Serve by each of uvicorn's parsers, with a copy of the module for each."""
    spec = importlib.util.find_spec(connections.__name__)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "AutoHTTPProtocol", request.param)
        spec.loader.exec_module(module)
    with serving(module, seconds=SECONDS) as found:
        yield found


def answered(address: tuple[str, int]) -> bool:
    return httpx.get(f"http://{address[0]}:{address[1]}/", timeout=10).status_code == 200


def trickle(each: socket.socket, data: bytes = b"x: y\r\n", *, pause: float = 0.1) -> tuple[float, bytes]:
    """Send bytes again and again until the server ends the connection; return how long that took, and its answer."""
    started, answer = time.monotonic(), b""
    each.settimeout(pause)
    while time.monotonic() - started < 10:
        try:
            part = each.recv(1000)
            if not part:
                break
            answer += part
        except TimeoutError:
            with suppress(OSError):
                each.sendall(data)
        except OSError:
            break
    return time.monotonic() - started, answer


SLOW = {  # what a client sends, what it adds every now and then, and the status of the last answer
    "silent": (b"", b"", b"408"),
    "two letters": (b"GE", b"", b"408"),
    "a line now and then": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"x: y\r\n", b"408"),
    "a letter of the body": (HEAD + b"\r\n", b"x", b"408"),
    "no body": (HEAD + b"\r\n", b"", b"408"),
    "a second head": (GET + GET[:-2], b"x: y\r\n", b"200"),
    "a body after others": (GET * 3 + HEAD + b"\r\nxx", b"x", b"408"),
}


def test_a_request_arrives_in_time_or_is_ended(address: tuple[str, int]):
    def ask(begin: bytes, data: bytes) -> tuple[float, bytes]:
        with socket.create_connection(address) as each:
            each.sendall(begin)
            return trickle(each, data)

    with ThreadPoolExecutor(len(SLOW)) as threads:
        asked = {name: threads.submit(ask, *sent) for name, (*sent, _) in SLOW.items()}
        assert answered(address)
    for name, (*_, status) in SLOW.items():
        seconds, answer = asked[name].result()
        assert SECONDS * 0.9 < seconds < SECONDS * 2 + 4, name
        assert answer.rpartition(b"HTTP/1.1 ")[2][:3] == status, (name, answer)


def test_a_client_that_does_not_read_its_answer_is_ended(address: tuple[str, int]):
    with socket.create_connection(address) as each:
        each.sendall(GET.replace(b"/ ", b"/large ", 1))
        time.sleep(SECONDS * 1.6)
        each.settimeout(5)
        read = 0
        with suppress(ConnectionError):
            while part := each.recv(1_000_000):
                read += len(part)
        assert 0 < read < len(LARGE)


def test_a_client_that_sends_one_request_after_another_is_not_ended(address: tuple[str, int]):
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as client:
        ends = time.monotonic() + 2 * SECONDS
        while time.monotonic() < ends:
            assert client.get("/").headers.get("connection") != "close"
            assert len(client.post("/large", content=b"x" * 100_000).content) == len(LARGE)


def test_a_head_has_a_limit(address: tuple[str, int]):
    with socket.create_connection(address) as each, suppress(ConnectionError):
        each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(100):
            each.sendall(b"x: " + b"y" * 1000 + b"\r\n")
        each.settimeout(5)
        assert each.recv(100)[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400")
    assert answered(address)


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\n", HEAD + b"\r\nx", GET], ids=str)
def test_one_connection_more_ends_that_which_waited_longest(begin: bytes):
    with serving(most=5) as address:
        made = []
        try:
            for _ in range(12):
                made.append(socket.create_connection(address))
                made[-1].sendall(begin)
            assert answered(address)
            assert is_ended(made[0])
            assert not is_ended(made[-1])
        finally:
            for each in made:
                each.close()


def is_ended(each: socket.socket) -> bool:
    each.settimeout(0.2)
    try:
        while part := each.recv(1000):
            assert part
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_how_many_connections_there_may_be_depends_on_the_files_of_the_process(monkeypatch):
    def files(n: int) -> Callable[[int], tuple[int, int]]:
        return lambda which: (n, n)

    monkeypatch.setattr(resource, "getrlimit", files(resource.RLIM_INFINITY))
    assert room() == MOST
    monkeypatch.setattr(resource, "getrlimit", files(10**6))
    assert room() == MOST
    monkeypatch.setattr(resource, "getrlimit", files(1000))
    assert 300 < room() <= (1000 - SPARE) // 2
    monkeypatch.setattr(resource, "getrlimit", files(40))
    with pytest.raises(
        ResourceError, match="This process may open 40 files, too few to serve. Allow more, by `ulimit -n"
    ):
        room()
