"""Start servers of our own: blurr's, and PostgreSQL with MLflow on top of it, for benchmarks that need real ones."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from blurr.process.listening import free_port

SECONDS = 120  # to start in, on a busy machine
NOBODY = "nobody"  # PostgreSQL refuses to run as root


@contextmanager
def postgres() -> Iterator[str]:
    """Make an empty PostgreSQL database with Debian's package; gives its address, as SQLAlchemy writes it."""
    port, user = free_port(), NOBODY if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp())
    if user:
        shutil.chown(folder, user)
    data = str(folder / "data")
    try:
        subprocess.run(
            ["initdb", "-D", data, "-U", "blurr", "--auth=trust"], user=user, check=True, capture_output=True
        )
        command = ["postgres", "-D", data, "-k", str(folder), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        ready = ["pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        with _running(command, lambda: not subprocess.run(ready, capture_output=True).returncode, user=user):
            yield f"postgresql+psycopg2://blurr@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)


@contextmanager
def mlflow_server(store: str, folder: Path) -> Iterator[str]:
    """Start `mlflow server`; gives its address.

    Args:
        store: address of its database.
        folder: where the artifacts go.
    """
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--backend-store-uri", store]
    command += ["--artifacts-destination", str(folder), "--workers", "2"]
    with _running(command, lambda: _answers(f"{address}/health")):
        yield address


@contextmanager
def serving(words: Sequence[str], path: str) -> Iterator[str]:
    """Start a module that serves, with the port as its last word; gives its address.

    Args:
        words: the module and its arguments.
        path: where it answers once it is ready.
    """
    address = f"http://127.0.0.1:{(port := free_port())}"
    with _running([sys.executable, "-m", *words, str(port)], lambda: _answers(f"{address}{path}")):
        yield address


@contextmanager
def _running(command: Sequence[str], is_ready: Callable[[], bool], user: str | None = None) -> Iterator[None]:
    process = subprocess.Popen(
        command, user=user, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} does not start: {' '.join(command)}")
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False
