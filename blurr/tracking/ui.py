"""Serve MLflow's pages for a store, until Ctrl-C.

This module loads MLflow.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import psutil  # type: ignore[import-untyped]
from mlflow import MlflowClient

from blurr.config.store import SIDE, experiment_name, registry_uri
from blurr.errors import InputError, ResourceError
from blurr.process import signals
from blurr.process.listening import address_of, bind
from blurr.runs.secrets import mask_text
from blurr.tracking.store import STORE_ERRORS, is_missing, resolve_uri

LONGEST = 120  # seconds that MLflow's server may take to start
PATIENCE = 5  # seconds in which its processes end by themselves


def page_of(server: str, experiment: str | None) -> str:
    """Return the address of an experiment's runs, or of all experiments."""
    return f"{server}/#/experiments{f'/{experiment}/runs' if experiment else ''}?{SIDE}"


def serve(uri: str | None, host: str, port: int, *, experiment: str | None, say: Callable[[str], None]) -> None:
    """Serve the pages of a store until a signal ends it.

    Args:
        uri: of the store; None as for all commands.
        host: where to listen.
        port: where to listen; 0 takes a free one.
        experiment: the name of the one to open; None as for all commands.
        say: called with the address once it answers.

    Raises:
        InputError: there is no store, or nothing can listen there.
        ResourceError: the port is taken, or MLflow's server does not start.
    """
    uri = resolve_uri(uri)
    if uri.startswith("http"):
        return say(page_of(uri, _id_of(uri, experiment)))
    if is_missing(uri):
        raise InputError(
            f"There is no MLflow store {mask_text(uri)} yet. `blurr run` makes it; --uri names another one."
        )
    listening = bind(host, port)
    port = listening.getsockname()[1]
    server = address_of(listening, host)
    listening.close()
    page = page_of(server, _id_of(uri, experiment))
    try:
        with tempfile.TemporaryFile() as said, signals.handled(), _started(uri, host, port, said) as process:
            _wait(process, server, said)
            say(page)
            process.wait()
    except signals.Interrupted:
        return None  # which is how it is stopped
    raise ResourceError(f"MLflow's server has ended by itself, with exit code {process.returncode}.")


def open_browser(page: str) -> None:
    """Open a page where there is a browser with windows; one in the terminal would take its place."""
    has_windows = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if has_windows and sys.stdout.isatty():
        webbrowser.open(page)


def _id_of(uri: str, experiment: str | None) -> str | None:
    """Return the id of an experiment; None if it is not there."""
    name = experiment_name(experiment)
    try:
        found = MlflowClient(tracking_uri=uri).get_experiment_by_name(name)
    except STORE_ERRORS as error:
        raise ResourceError(
            f"The MLflow store {mask_text(uri)} cannot be read: {str(error).splitlines()[0]}"
        ) from error
    if found is None and experiment is not None:
        raise InputError(f"--experiment {experiment}: {mask_text(uri)} has no experiment of that name.")
    return None if found is None else str(found.experiment_id)


@contextmanager
def _started(uri: str, host: str, port: int, said: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start MLflow's server, and end it with the block."""
    stores = ["--backend-store-uri", uri, "--registry-store-uri", registry_uri(uri)]
    place = ["--host", host, "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *stores, *place]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    # a session of its own: Ctrl-C reaches this process alone, which ends the others in order
    process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        _end(process)


def _wait(process: "subprocess.Popen[bytes]", server: str, said: IO[bytes]) -> None:
    """Wait until the server answers.

    Raises:
        ResourceError: it has ended, or takes too long.
    """
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        if process.poll() is not None:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise ResourceError(f"MLflow's server did not start: {lines[-1] if lines else 'it said nothing'}")
        try:
            with urllib.request.urlopen(f"{server}/health", timeout=1):  # nosec B310  # an address of our own
                return
        except OSError:
            time.sleep(0.2)
    raise ResourceError(f"MLflow's server did not answer at {server} within {LONGEST} seconds.")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server with its workers."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for each in family:
        if each.is_running():
            each.terminate()
    for each in psutil.wait_procs(family, timeout=PATIENCE)[1]:
        each.kill()
