"""A server in a process of its own: stopped while requests wait, and with few files against many clients."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from forked import Forked, code

from blurr.process.listening import free_port

SERVE = """
import resource, socket, sys, time
folder, port, files, pause, without = sys.argv[1:]
for name in without.split():
    sys.modules[name] = None
from blurr.serve.admission import Limits
from blurr.serve.app import make_app
from blurr.serve.connections import run
from blurr.serve.predictor import Predictor
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), hard))
predictor = Predictor.load(folder)
real = predictor.predict_each
predictor.predict_each = lambda items, **o: (time.sleep(float(pause)), real(items, **o))[1]
run(make_app(predictor), socket.create_server(("127.0.0.1", int(port))), Limits())
"""
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"


@contextmanager
def serving(
    folder: Path, work: Path, *, files: int = 1024, pause: float = 0, without: str = ""
) -> Iterator[tuple[Forked, int]]:
    """Start a server; gives its process and its port."""
    port = free_port()
    server = Forked(code, SERVE, str(folder), str(port), str(files), str(pause), without, cwd=work)
    try:
        for _ in range(1200):
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/ready")
                break
            time.sleep(0.05)
        yield server, port
    finally:
        server.kill()


def test_a_stop_first_answers_what_is_being_answered(saved, work: Path):
    """Told to stop while a slow model has a request, another one waits, and a third is half sent."""
    with (
        serving(saved("sequence_classification")[1], work, pause=1.5) as (server, port),
        ThreadPoolExecutor(2) as threads,
    ):
        url = f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(HEAD)
            asked = []
            for text in ("good", "bad"):
                asked.append(threads.submit(httpx.post, f"{url}/predict", json={"inputs": [text]}, timeout=60))
                time.sleep(0.5)
            server.send_signal(signal.SIGTERM)
            assert [each.result().status_code for each in asked] == [200, 200]
            server.wait(60)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health")
        assert "Traceback" not in server.stderr


def seconds_of_health(port: int) -> float:
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("without", ["", "uvloop", "httptools"])
def test_with_256_files_and_300_requests_half_sent_the_health_is_answered(without: str, saved, work: Path):
    with serving(saved("sequence_classification")[1], work, files=256, without=without) as (server, port):
        for begin in (HEAD, HEAD + b"\r\n{", b""):
            with ExitStack() as clients:
                for _ in range(300):
                    each = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
                    with suppress(ConnectionError):
                        each.sendall(begin)
                assert max(seconds_of_health(port) for _ in range(5)) < 5
                assert len(os.listdir(f"/proc/{server.pid}/fd")) < 256
                # all at once: they wait for a process that is stopped
                server.send_signal(signal.SIGSTOP)
                for _ in range(300):
                    each = clients.enter_context(socket.socket())
                    each.setblocking(False)
                    each.connect_ex(("127.0.0.1", port))
                server.send_signal(signal.SIGCONT)
                assert max(seconds_of_health(port) for _ in range(5)) < 5
        assert httpx.post(f"http://127.0.0.1:{port}/predict", json={"inputs": ["good"]}).status_code == 200
        assert "Traceback" not in server.stderr
