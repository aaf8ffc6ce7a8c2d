"""Requests made up from the server's own schema, right ones and wrong ones, are answered as the schema says."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from blurr.serve.admission import Limits
from blurr.serve.app import make_app
from blurr.serve.connections import config_of
from blurr.serve.predictor import Predictor


@pytest.fixture(scope="module")
def address(saved) -> Iterator[str]:
    """Serve a model in a thread; gives the schema's address."""
    limits = Limits()
    app = make_app(Predictor.load(saved("sequence_classification")[1]), limits)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config_of(app, limits, most=100))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/openapi.json"
        server.should_exit = True
        thread.join(30)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.slow
def test_requests_made_from_the_schema_are_answered_by_it(mode: GenerationMode, address: str, caplog):
    quick = settings(max_examples=12, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    seen = set()
    for found in schemathesis.openapi.from_url(address).get_all_operations():
        operation = found.ok()

        @settings(quick, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            seen.add((case.operation.label, case.call_and_validate().status_code))

        if mode is GenerationMode.POSITIVE or operation.body:
            ask()
    good = {("GET /health", 200), ("GET /ready", 200), ("POST /predict", 200)}
    assert seen == good if mode is GenerationMode.POSITIVE else ("POST /predict", 422) in seen
    assert not caplog.records


@pytest.mark.slow
def test_a_minute_of_fuzzing_finds_nothing(address: str, work: Path, caplog):
    command = [sys.executable, "-m", "schemathesis.cli", "run", address, "--checks", "all", "--max-time", "60"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work)  # it writes a cache
    assert done.returncode == 0, done.stdout
    assert not [
        each for each in caplog.records if each.levelno >= logging.ERROR
    ]  # requests that are no HTTP are warnings
