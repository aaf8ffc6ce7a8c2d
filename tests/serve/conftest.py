"""Trained models of every task, as folders."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from every_task import TASKS, learner_of, save_model

from blurr.serve.admission import Limits
from blurr.serve.app import make_app
from blurr.serve.connections import config_of
from blurr.serve.predictor import Predictor

Serve = Callable[..., str]
Saved = Callable[[str], tuple[Any, Path]]


@pytest.fixture(scope="session")
def saved(tiny_bert: Path, tiny_bart: Path, tmp_path_factory) -> Saved:
    """Give, for the name of a task, a learner and the folder of its model."""
    made: dict[str, tuple[Any, Path]] = {}

    def get(name: str) -> tuple[Any, Path]:
        if name not in made:
            learn, _ = learner_of(name, tiny_bert, tiny_bart)
            made[name] = (
                learn,
                save_model(learn, TASKS[name], tmp_path_factory.mktemp(name) / "model", choices={"task": name}),
            )
        return made[name]

    return get


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Give, for the folder of a model, the address of a server in a thread that has it."""
    with ExitStack() as servers:

        def start(folder: Path, **limits: Any) -> str:
            chosen = Limits(**limits)
            listening = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = uvicorn.Server(config_of(make_app(Predictor.load(folder), chosen), chosen, most=100))
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            servers.callback(thread.join, 30)
            servers.callback(setattr, server, "should_exit", True)
            return f"http://127.0.0.1:{listening.getsockname()[1]}"

        yield start
