"""The high-level door of a notebook: a learner from rows and a checkpoint, or from an export."""

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

from fastai.learner import Learner
from fastai.learner import load_learner as fastai_load_learner
from omegaconf import DictConfig, OmegaConf

from blurr.config import paths
from blurr.config.building import build
from blurr.config.moved import current_name
from blurr.config.objectives import DEFAULTS
from blurr.config.wording import in_words_of_notebook
from blurr.data import at_hand
from blurr.data.core import RawData, UnknownLabels
from blurr.data.doubts import look_at
from blurr.data.media import Broken
from blurr.data.naming import WEIGHT
from blurr.data.splits import split_by
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.metrics.base import metric_key
from blurr.models.adapted import AdapterOptions
from blurr.models.adapters import with_adapter
from blurr.models.objects import HFObjects, build_model
from blurr.process.setup import without_bars
from blurr.targets.base import Target
from blurr.tasks.base import Task
from blurr.tasks.saved import SavedTask, with_found
from blurr.training.learner import Blearner

OF_NUMBERS = DEFAULTS["numbers"]
OF_LOADER = {"bs": "batch_size", "val_bs": "eval_batch_size"}  # fastai's words, and ours


def from_data(
    task: Task,
    rows: Any,
    pretrained_model_name_or_path: str | Path,
    *,
    columns: Mapping[str, Any],
    other_columns: Mapping[str, Sequence[str]] | None = None,
    fit: Callable[[Task, HFObjects], Task] | None = None,
    dblock_splitter: Callable[[Any], Any] | None = None,
    unknown_labels: UnknownLabels = "refuse",
    broken: Broken = "refuse",
    hf_kwargs: Mapping[str, Any] | None = None,
    hf_tok_kwargs: Mapping[str, Any] | None = None,
    dl_kwargs: Mapping[str, Any] | None = None,
    learner_kwargs: Mapping[str, Any] | None = None,
    loss_func: Callable[..., Any] | None = None,
    weight_attr: str | None = None,
    max_grad_norm: float | None = 1.0,
    augment: Callable[..., Any] | None = None,
    adapter: AdapterOptions | None = None,
) -> Blearner:
    """Make a learner with a frozen body.

    Args:
        task: What to learn.
        rows: A DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file or folder; a column `is_valid`
            marks the validation rows.
        pretrained_model_name_or_path: Hub id or local folder.
        columns: Role to column.
        other_columns: Role to the columns to look for, where its own is missing.
        fit: Fits the task to the model.
        dblock_splitter: A fastai splitter, called with the rows; `None` goes by a column `is_valid`, or at random.
        unknown_labels: `refuse` validation rows with labels that no training row has, or `drop` them.
        broken: `refuse` files of media, such as pictures, that cannot be opened, or `drop` their rows.
        hf_kwargs: As for `get_hf_objects`.
        hf_tok_kwargs: Its `tokenizer_kwargs`, under their name in blurr 1.x.
        dl_kwargs: As for `Loader`; `bs` stands for `batch_size`, `val_bs` for `eval_batch_size`.
        learner_kwargs: As for `Blearner`; its `metrics` replace the task's default ones.
        loss_func: A loss of fastai, torch or your own, see `CustomLoss`; `None` takes the task's.
        weight_attr: Column of the weights of training rows in the loss; for tasks with a target for each row.
        max_grad_norm: What gradients are clipped to, as for `Blearner`; `None` leaves them as they are.
        augment: Changes training rows at random, such as `standard(flip=True)` of `blurr.vision.augment`.
        adapter: What is trained beside the checkpoint's weights, such as `lora(r=8)` of `blurr.models.adapters`.
    """
    options = {"max_grad_norm": max_grad_norm, **(learner_kwargs or {})}
    loss = options.pop("loss_func", loss_func)
    task = task if loss is None else replace(task, loss=loss)  # type: ignore[call-arg]  # a field of blurr's tasks
    columns = columns if weight_attr is None else {**columns, WEIGHT: weight_attr}
    with in_words_of_notebook():
        train, valid = (rows, None) if dblock_splitter is None else split_by(rows, dblock_splitter)
        named: dict[str, Any] = {"columns": columns, "other_columns": other_columns, "unknown_labels": unknown_labels}
        named["broken"] = broken
        raw = at_hand.from_data(task.row_schema(), train, valid=valid, **named)
        look_at(raw, task.schema)
        raw = task.prepare(raw)
        checkpoint, asked = str(pretrained_model_name_or_path), dict(hf_kwargs or {})
        if hf_tok_kwargs:
            asked["tokenizer_kwargs"] = {**asked.get("tokenizer_kwargs", {}), **hf_tok_kwargs}
        hf = _loaded(checkpoint, task, raw, asked)
        task = task if fit is None else fit(task, hf)
        if adapter is not None:
            hf = with_adapter(hf, adapter, name=checkpoint, revision=asked.get("revision"))
        loader = Loader(**{OF_LOADER.get(k, k): v for k, v in (dl_kwargs or {}).items()})
        return _learner(task, raw, hf, checkpoint, loader, augment=augment, **options)


def _loaded(checkpoint: str, task: Task, raw: RawData, asked: Mapping[str, Any]) -> HFObjects:
    """Load processor and model; `asked` is the user's part of the arguments of `build_model`."""
    config = {**task.target.model_config(raw), **asked.get("config_kwargs", {})}
    corpus = partial(task.corpus, raw)  # for `hf_kwargs={"weights": "scratch", "arch": …}`
    given = {"model_cls": task.model_cls, "inputs": task.inputs, "corpus": corpus, "load_weights": True}
    with without_bars() if Path(checkpoint).is_dir() else nullcontext():  # a download is worth a bar
        return build_model(checkpoint, **{**given, "weights": "pretrained", **asked, "config": config})


def _learner(
    task: Task,
    raw: RawData,
    hf: HFObjects,
    checkpoint: str,
    loader: Loader,
    *,
    augment: Callable[..., Any] | None = None,
    metrics: Any = None,
    **options: Any,
) -> Blearner:
    """Make the learner, with the task's default metrics or the given ones."""
    dls = task.dataloaders(raw, hf, loader, augment=augment)
    default = default_metrics(task, raw) if metrics is None else OmegaConf.create()
    learner = task.learner(dls, hf, raw=raw, metrics=build(default), **{"freeze": True, **options})
    learner.metrics = learner.metrics if metrics is None else metrics
    config: Any = OmegaConf.to_container(default)
    learner.origin = Origin(task, raw, hf, checkpoint, config)
    return learner


@dataclass(frozen=True)
class Origin:
    """What `from_data` made a learner of, for whoever records its training.

    Attributes:
        task: What it learns.
        raw: The rows.
        hf: Processor and model.
        checkpoint: Hub id or folder.
        metrics: The config of the task's default metrics; empty if the learner has others.
    """

    task: Task
    raw: RawData
    hf: HFObjects
    checkpoint: str
    metrics: Mapping[str, Any]

    @property
    def choices(self) -> dict[str, str]:
        """The options with which `blurr run` would be called for these rows in a file."""
        name = re.sub(r"[^\w.-]+", "-", Path(self.checkpoint).name)
        return {"task": option_of(self.task)[0], "model": name, "data": "files"}

    @property
    def objective(self) -> str:
        """The score by which runs are compared."""
        usual = str(option_of(self.task)[1].objective)
        names = [metric_key("valid", name) for name in self.metrics]
        return usual if usual in names else next(iter(names), "valid/loss")

    def saved(self, learner: Blearner) -> SavedTask:
        """Return what is written beside the model."""
        columns = with_found(self.raw.columns, self.raw.train, self.task.schema)
        return SavedTask(self.task.resolved(learner), columns, self.choices, self.metrics)


def option_of(task: Task) -> tuple[str, DictConfig]:
    """Return the name of the option of conf/task that makes such a task, and its YAML."""
    target = f"{type(task).__module__}.{type(task).__qualname__}"
    options: dict[str, Any] = {name: OmegaConf.load(file) for name, file in paths.options("task").items()}
    return next((name, option) for name, option in options.items() if option.task["_target_"] == target)


def default_metrics(task: Task, raw: RawData) -> DictConfig:
    """Return the config of the metrics that the task's option chooses, or of those for numbers if these are labels."""
    names = OF_NUMBERS
    if task.target.predicted(raw) != "numbers":
        chosen = option_of(task)[1].defaults
        names = next(each["override /metrics"] for each in chosen if "override /metrics" in each)
    files = paths.options("metrics")
    config = OmegaConf.merge(*(OmegaConf.load(files[option]) for option in names))
    return cast(DictConfig, config)


class Unpickler(pickle.Unpickler):
    """Finds what a pickle names where it stands today."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the function or class of that name; `name` has a dot for one inside a class."""
        if name == "getattr" and module in ("builtins", "__builtin__"):
            return _attribute  # by which a pickle names a method of an object
        written = f"{module}.{name}"
        current = current_name(written)
        try:
            return super().find_class(module, name) if current == written else resolve_name(current)
        except (ImportError, AttributeError) as error:  # fastai hides the first
            raise InputError(
                f"This export needs {module}.{name}, which cannot be had: {error}. If it is yours, import or define it "
                "as it was when you exported. If it is a library's, install the version that you exported with."
            ) from error


def _attribute(owner: Any, name: str) -> Any:
    """Return an attribute; the methods of a target were those of its task before 0.2."""
    is_of_target = isinstance(owner, type) and issubclass(owner, Task) and name in vars(Target)
    return partial(_call_target, name) if is_of_target else getattr(owner, name)


def _call_target(name: str, task: Task, learner: Learner) -> Any:
    return getattr(task.target, name)(learner)


class OldNames:
    """Stands for the module `pickle` where torch asks for one."""

    Unpickler = Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        """Read one object, as `pickle.load` does; torch reads files of its old format by this."""
        return Unpickler(file, **options).load()


def load_learner(path: str | Path, cpu: bool = True) -> Learner:
    """Load an exported learner; fastai's function of this name cannot read exports of earlier versions of blurr.

    The file is a pickle, which can run any code: load only what you trust.

    Args:
        path: of the file.
        cpu: put the model on the CPU, else on the default device.
    """
    learner: Learner = fastai_load_learner(path, cpu=cpu, pickle_module=OldNames)
    for dl in learner.dls.loaders:
        if isinstance(dl, RowsDL) and dl.task is None and isinstance(dl.encode, partial):
            dl.task = dl.own["task"] = dl.encode.args[0]  # before 0.2 a loader knew its task by what encodes for it
    return learner
