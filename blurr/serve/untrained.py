"""Use a checkpoint that blurr did not train: overrides name the task that its head is for."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from omegaconf import DictConfig, OmegaConf

from blurr.config import checks, composing
from blurr.config.building import build
from blurr.models.objects import HFObjects, load_objects
from blurr.models.weights import choose_weights
from blurr.tasks.base import Task
from blurr.tasks.saved import FILE, SavedTask

log = logging.getLogger(__name__)

SETTINGS = ("task", "model", "generation", "metrics")  # the groups that decide how a checkpoint is used


def task_of(overrides: Sequence[str]) -> str | None:
    """Return the task that overrides name, as in `task=summarization`."""
    return next((each.partition("=")[2] for each in overrides if each.startswith("task=")), None)


def load_untrained(where: str | Path, overrides: Sequence[str]) -> tuple[SavedTask, HFObjects]:
    """Load a checkpoint with the head that it has.

    Args:
        where: local folder or Hub id.
        overrides: as for `blurr run`: the task, its settings and the model's; others are ignored.

    Raises:
        InputError: an override is wrong, there is no such checkpoint, or it has no head for the task.
    """
    name = str(where)
    choose_weights(name, "pretrained")
    chosen = [each for each in overrides if each.lstrip("+~").partition("=")[0].partition(".")[0] in SETTINGS]
    cfg = composing.compose(["model=auto", f"++model.name={name!r}", *chosen])
    checks.check(cfg)
    task: Task = build(cfg.task)
    hf = _loaded(name, task, cfg.model)
    log.warning("%s has no %s: it is used as it is, untrained by blurr, for task=%s.", name, FILE, task_of(overrides))
    task.target.for_checkpoint(hf)
    task.check(hf)
    metrics: Any = OmegaConf.to_container(cfg.metrics, resolve=True)
    return SavedTask(task, {}, {"task": str(task_of(overrides))}, metrics), hf


def _loaded(name: str, task: Task, model: DictConfig) -> HFObjects:
    given: Any = OmegaConf.to_container(model, resolve=True)
    at = {} if given["revision"] is None else {"revision": given["revision"]}
    kwargs: dict[str, Any] = {key: {**at, **given[key]} for key in ("config_kwargs", "model_kwargs")}
    kwargs["processor_kwargs"] = {**at, **given["tokenizer_kwargs"]}
    model_cls = getattr(transformers, task.model_cls)
    return load_objects(name, model_cls, task.inputs, **kwargs, dtype=given["dtype"], complete=True)
