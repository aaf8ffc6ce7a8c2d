"""The high-level door of a notebook: a learner from rows and a checkpoint, by the same steps as the runner."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from blurr.config import paths
from blurr.config.building import build
from blurr.config.objectives import DEFAULTS
from blurr.data import core as data
from blurr.data.core import RawData, UnknownLabels
from blurr.data.splits import split_by
from blurr.loading.loader import Loader
from blurr.metrics.base import Metric
from blurr.models.objects import build_model
from blurr.tasks.base import Task
from blurr.training.learner import Blearner

OF_NUMBERS = DEFAULTS["numbers"]
OF_LOADER = {"bs": "batch_size", "val_bs": "eval_batch_size"}  # fastai's words, and ours


def from_data(
    task: Task,
    rows: Any,
    pretrained_model_name_or_path: str | Path,
    *,
    columns: Mapping[str, Any],
    dblock_splitter: Callable[[Any], Any] | None = None,
    unknown_labels: UnknownLabels = "refuse",
    hf_kwargs: Mapping[str, Any] | None = None,
    dl_kwargs: Mapping[str, Any] | None = None,
    learner_kwargs: Mapping[str, Any] | None = None,
) -> Blearner:
    """Make a learner with a frozen body.

    Args:
        task: What to learn.
        rows: A DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file; a column `is_valid` marks the
            validation rows.
        pretrained_model_name_or_path: Hub id or local folder.
        columns: Role to column.
        dblock_splitter: A fastai splitter, called with the rows; `None` goes by a column `is_valid`, or at random.
        unknown_labels: `refuse` validation rows with labels that no training row has, or `drop` them.
        hf_kwargs: As for `get_hf_objects`.
        dl_kwargs: As for `Loader`; `bs` stands for `batch_size`, `val_bs` for `eval_batch_size`.
        learner_kwargs: As for `Blearner`; its `metrics` replace the task's default ones.
    """
    train, valid = (rows, None) if dblock_splitter is None else split_by(rows, dblock_splitter)
    raw = data.from_data(task.row_schema(), train, valid=valid, columns=columns, unknown_labels=unknown_labels)
    raw = task.prepare(raw)
    config = {**task.target.model_config(raw), **(hf_kwargs or {}).get("config_kwargs", {})}
    hf = build_model(
        str(pretrained_model_name_or_path),
        model_cls=task.model_cls,
        inputs=task.inputs,
        corpus=tuple,
        load_weights=True,
        weights="pretrained",
        **{**(hf_kwargs or {}), "config": config},
    )
    loader = Loader(**{OF_LOADER.get(k, k): v for k, v in (dl_kwargs or {}).items()})
    dls = task.dataloaders(raw, hf, loader)
    options = {"freeze": True, **(learner_kwargs or {})}
    own = options.pop("metrics", None)
    learner = task.learner(dls, hf, raw=raw, metrics=default_metrics(task, raw) if own is None else {}, **options)
    learner.metrics = learner.metrics if own is None else own
    return learner


def default_metrics(task: Task, raw: RawData) -> dict[str, Metric]:
    """Return the metrics that the task's option of conf/task chooses, or those of numbers where the labels are such."""
    target = f"{type(task).__module__}.{type(task).__qualname__}"
    if task.target.predicted(raw) == "numbers":
        names = OF_NUMBERS
    else:
        options = [OmegaConf.load(file) for file in paths.options("task").values()]
        chosen = next(option.defaults for option in options if option.task["_target_"] == target)
        names = next(each["override /metrics"] for each in chosen if "override /metrics" in each)
    files = paths.options("metrics")
    chosen_metrics: Any = OmegaConf.merge(*(OmegaConf.load(files[option]) for option in names))
    metrics: dict[str, Metric] = build(chosen_metrics)
    return metrics
