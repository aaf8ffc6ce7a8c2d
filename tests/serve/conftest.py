"""Trained models of every task, as folders."""

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
import yaml
from every_task import TASKS, learner_of, save_model
from scratch import from_scratch
from sounds import WAV2VEC2, sound_rows

from blurr.audio.audio_classification import AudioClassification
from blurr.config import paths
from blurr.data.at_hand import from_data
from blurr.loading.loader import Loader
from blurr.serve.admission import Limits
from blurr.serve.app import make_app
from blurr.serve.connections import config_of
from blurr.serve.predictor import Predictor
from blurr.tasks.base import Task
from blurr.tasks.saved import SavedTask
from blurr.tasks.saved import save_model as save_model_of
from blurr.vision import samples
from blurr.vision.image_classification import ImageClassification

Serve = Callable[..., str]
Saved = Callable[[str], tuple[Any, Path]]


@pytest.fixture(scope="session")
def saved(tiny_bert: Path, tiny_bart: Path, tmp_path_factory) -> Saved:
    """Give, for the name of a task, a learner and the folder of its model."""
    made: dict[str, tuple[Any, Path]] = {}

    def get(name: str) -> tuple[Any, Path]:
        if name not in made:
            with torch.random.fork_rng():
                torch.manual_seed(4)  # the head is new: its answers must not depend on earlier tests, nor be empty
                learn, _ = learner_of(name, tiny_bert, tiny_bart)
            made[name] = (
                learn,
                save_model(learn, TASKS[name], tmp_path_factory.mktemp(name) / "model", choices={"task": name}),
            )
        return made[name]

    return get


def model_of(
    task: Task, rows: list[dict[str, Any]], folder: Path, arch: str, sizes: dict[str, Any]
) -> tuple[Any, Path]:
    """Give a learner that has learnt nothing, and the folder of its model."""
    raw = from_data(task.schema, [{**row, "is_valid": i % 4 == 0} for i, row in enumerate(rows)])
    hf = from_scratch(task, raw, arch, sizes)
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=8, cache=False)), hf, raw=raw, metrics={})
    name = type(task).__module__.rpartition(".")[2]
    save_model_of(folder, SavedTask(task.resolved(learn), choices={"task": name}), hf)
    return learn, folder


def model_of_pictures(folder: Path, arch: str, sizes: dict[str, Any]) -> tuple[Any, Path]:
    """Give a learner of image classification that has learnt nothing, and the folder of its model."""
    rng = random.Random(0)
    return model_of(ImageClassification(), [samples.shapes(rng) for _ in range(40)], folder, arch, sizes)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> tuple[Any, Path]:
    """Give a learner of image classification with a tiny ResNet, and the folder of its model."""
    sizes = {"image_size": 32, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return model_of_pictures(tmp_path_factory.mktemp("pictures") / "model", "resnet", sizes)


@pytest.fixture(scope="session")
def family_of_pictures(tmp_path_factory) -> Saved:
    """Give the same for the model from scratch of an option of the group `model`."""

    def get(name: str) -> tuple[Any, Path]:
        node = yaml.safe_load(paths.options("model")[name].read_text(encoding="utf-8"))
        return model_of_pictures(tmp_path_factory.mktemp(name) / "model", node["arch"], node["scratch"])

    return get


@pytest.fixture(scope="session")
def sounds(tmp_path_factory) -> tuple[Any, Path]:
    """Give a learner of audio classification with a tiny Wav2Vec2, and the folder of its model."""
    folder = tmp_path_factory.mktemp("sounds") / "model"
    return model_of(AudioClassification(), sound_rows(24), folder, "wav2vec2", WAV2VEC2)


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
