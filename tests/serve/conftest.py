"""Trained models of every task, as folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from every_task import TASKS, learner_of, save_model

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
