"""Save a task beside its trained model, as JSON: predicting needs neither the config nor a pickle."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any

from datasets import Dataset
from omegaconf import OmegaConf
from pydantic import BaseModel, Field

from blurr import __version__
from blurr.config import signatures
from blurr.config.building import build
from blurr.config.checks import check_part
from blurr.config.moved import with_current_names
from blurr.config.trust import TRUST, check_config, is_listed
from blurr.data.roles import Schema
from blurr.errors import InputError
from blurr.models.adapted import merged
from blurr.models.adapter_files import save_alone
from blurr.models.objects import HFObjects
from blurr.runs.parsing import parse_json, validated
from blurr.tasks.base import Task

log = logging.getLogger(__name__)

FILE = "blurr.json"

Name = Annotated[str, Field(pattern=r"^[\w.-]+$")]  # of a role or an option: it becomes part of a command line


class TaskNode(BaseModel):
    """The node of a task, with its settings beside the target."""

    target: str = Field(alias="_target_")


class Parts(BaseModel):
    """What the file holds, see `SavedTask`."""

    task: TaskNode
    columns: dict[Name, str | list[str] | None]
    choices: dict[str, Name]
    metrics: dict[str, dict[str, Any]]
    own_loss: str = ""


@dataclass(frozen=True)
class SavedTask:
    """What blurr knows of a trained model besides its weights.

    Attributes:
        task: with every `auto` resolved.
        columns: role to column, or columns, of the rows it was trained on.
        choices: the options of the groups `task` and `data` that it was trained with.
        metrics: the config of the metrics that it was evaluated by, by their names.
        own_loss: name of a loss of the user's that it was trained with, which no file keeps; empty for the task's.
    """

    task: Task
    columns: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    own_loss: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """Roles that an item to predict on fills: the task's, and those that it leaves open and training had."""
        schema = self.task.schema
        had = [role for role in schema.optional if self.columns.get(role) and schema.shaper is None]
        return tuple(role for role in schema.inputs if role in schema.required or role in had)


def with_found(columns: Mapping[str, Any], rows: Dataset, schema: Schema) -> dict[str, Any]:
    """Return the columns of roles, with those optional ones that were found under their own names."""
    there = {role for role in schema.optional if role in schema.inputs and role in rows.column_names}
    return {**columns, **{role: columns.get(role) or role for role in there}}


def save_model(folder: Path, saved: SavedTask, hf: HFObjects) -> None:
    """Write a trained model with its tokenizer and task, as a Predictor reads it, and `from_pretrained` if it is whole.

    An adapter is added to the weights that are written; with `merge=False` it is written without them.
    """
    if hf.adapter is not None and not hf.adapter.options.merge:
        save_alone(folder, hf.adapter)
    else:
        model = hf.model if hf.adapter is None else merged(hf.adapter)
        model.save_pretrained(folder)
    hf.tokenizer.save_pretrained(folder)
    save_task(folder, saved)


def save_task(folder: Path, saved: SavedTask) -> None:
    """Write the task into the folder of its model.

    Functions among the task's settings cannot be written; they are left out, with a warning unless it is the loss,
    which no prediction needs.
    """
    functions = sorted(name for name, value in asdict(saved.task).items() if callable(value))
    if functions not in ([], ["loss"]):
        log.warning("%s cannot hold functions: %s of the task is left out.", FILE, functions)
    parts: dict[str, Any] = {
        "task": node_of(saved.task),
        "columns": saved.columns,
        "choices": saved.choices,
        "metrics": saved.metrics,
    }
    loss = vars(saved.task).get("loss")
    own_loss = _name(loss) if callable(loss) else saved.own_loss
    parts |= {"own_loss": own_loss} if own_loss else {}
    text = json.dumps({"blurr": __version__, **parts}, indent=2, ensure_ascii=False, default=str)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def _name(function: Any) -> str:
    """Return the name of a function, or of the class of an object that is called."""
    function = function.func if isinstance(function, partial) else function
    return function.__name__ if isinstance(function, FunctionType | type) else type(function).__name__


def node_of(task: Task) -> dict[str, Any]:
    """Return the node of a config that makes a task, without settings that are functions."""
    kind = type(task)
    settings = {name: value for name, value in asdict(task).items() if not callable(value)}
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **settings}


def load_task(folder: Path, *, trusted: Sequence[str] = ()) -> SavedTask:
    """Read what `save_task` wrote.

    Args:
        folder: of the model.
        trusted: packages that the file may name functions and classes of, besides what `blurr.config.trust` lists.

    Raises:
        InputError: the file is unreadable, or names something that is not a task, or unknown settings.
    """
    file = folder / FILE
    parts = read_parts(file)
    node = with_current_names(parts["task"])
    target = node["_target_"]
    rest = {name: parts[name] for name in ("columns", "choices", "metrics", "own_loss") if name in parts}
    is_own = not signatures.is_ours(target)
    is_task = not is_own and signatures.class_attribute(target, "model_cls")  # nothing else of ours is ever called
    if not (is_listed(target, trusted) if is_own else is_task):
        raise InputError(f"{file} names the task {target!r}, which is not one of blurr's. {TRUST}")
    check_config({"task": node, "columns": rest["columns"]}, where=str(file), remedy=TRUST, trusted=trusted)
    config = OmegaConf.create({"task": node})
    if not is_own:
        check_part("task", config.task)
    task = build(config.task)
    if not isinstance(task, Task):
        raise InputError(f"{file} names {target!r}, which makes a {type(task).__name__}, not a task.")
    return SavedTask(task=task, **rest)


def read_parts(file: Path) -> dict[str, Any]:
    """Read the parts of `blurr.json`, and make nothing of them.

    Raises:
        InputError: it is not as `save_task` wrote it.
    """
    try:
        parts: dict[str, Any] = parse_json(file.read_text(encoding="utf-8"))
        validated(Parts, json.dumps(parts))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} is not the file that a run of blurr leaves beside its model ({type(error).__name__}: {error}). "
            "Give the folder of a run, or its folder model/."
        ) from error
    return parts
