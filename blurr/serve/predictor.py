"""Predict with a trained model of any task, as the learner that trained it does."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from datasets import DatasetDict
from fastai.data.core import DataLoaders
from omegaconf import DictConfig, OmegaConf
from transformers.generation.streamers import BaseStreamer

from blurr.config import checks, composing
from blurr.config.building import build
from blurr.data.core import RawData
from blurr.data.media import Media
from blurr.errors import InputError, nearest
from blurr.loading.loader import Loader, fitting
from blurr.loading.rows import Inputs
from blurr.models.auto import auto_class
from blurr.models.devices import device_of
from blurr.models.generation import stream_tokens, tokenizer_of
from blurr.models.objects import DType, HFObjects, load_objects
from blurr.models.weights import choose_weights
from blurr.serve.graphs import MANIFEST, load_graphs
from blurr.serve.model_folder import check_model, is_model_folder, model_folder
from blurr.tasks.base import Task
from blurr.tasks.saved import FILE, SavedTask, load_task

log = logging.getLogger(__name__)
SETTINGS = ("task", "model", "generation", "metrics")  # the groups that decide how a checkpoint is used
ROWS = 32  # in a batch
TOKENS = 2048  # in a batch on a CPU: more are not faster there, and padding costs as much as words
OF_8_BITS = 0.05  # share of the largest logit: a quantized graph rounds by the range of the numbers in a batch
Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, DType] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
WITHOUT = "Leave out --precision, or name the run that it was exported from."
NO_ROWS = RawData(DatasetDict(), None, "a saved model")


class Predictor:
    """A trained model, ready to predict: in batches of similar length, long inputs in windows, without gradients.

    It is a learner without rows, so that it predicts by the same code as a notebook.

    Args:
        saved: the task, as its training resolved it.
        hf: processor, config and model.
        batch_size: rows, or windows of rows, in a batch; `None`: 32, and of texts on a CPU as many as make 2048
            tokens.
        device: see `device_of`.
        folder: the model's folder; `None` for a checkpoint that blurr did not train.
    """

    def __init__(
        self,
        saved: SavedTask,
        hf: HFObjects,
        *,
        batch_size: int | None = None,
        device: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.saved, self.hf, self.batch_size, self.folder = saved, hf, batch_size or ROWS, folder
        task = saved.task
        target = device_of(device)
        # files become inputs of one size, or of lengths that are not counted in tokens
        counts_tokens = batch_size is None and target.type == "cpu" and not task.schema.media
        tokens = TOKENS if counts_tokens else None
        loader = Loader(batch_size=self.batch_size, eval_batch_size=self.batch_size, max_tokens=tokens)
        dl = task.loader(task.inputs.rows_cls({}, task.target.vocab(hf)), hf, fitting(loader, hf.config), train=False)
        dls = DataLoaders(dl, dl, device=target)
        hf.model.to(target)  # type: ignore[arg-type]  # a decorator hides what `to` takes
        self.learner = task.learner(dls, hf, raw=NO_ROWS, metrics={})
        self.learner.model.eval()

    @classmethod
    def load(
        cls,
        where: str | Path,
        *,
        words: Sequence[str] = (),
        batch_size: int | None = None,
        device: str | None = None,
        precision: Precision | None = None,
        trusted: Sequence[str] = (),
    ) -> Self:
        """Load the model of a run, without a network, config files or a pickle; or any checkpoint.

        Args:
            where: the output folder of a run or its folder `model/`, a folder that `blurr export` wrote, the id of an
                MLflow run, `runs:/<id>/model`, `models:/<name>/<version>` or `models:/<name>@<alias>`. With `words`, a
                folder that `save_pretrained` wrote, or a Hub id.
            words: overrides with the task of a checkpoint that blurr did not train, and its settings, such as
                `["task=summarization", "task.max_length=512"]`.
            batch_size: see `Predictor`.
            device: see `Predictor`.
            precision: `fp32`, `bf16` or `fp16`: what the weights are converted to, and computed in; `None` keeps them
                as they are stored, which is fp32 unless `model.dtype` was set.
            trusted: packages of your own that the model's file may name: all that they reach can then be called.

        Raises:
            InputError: there is no such model, some of its weights are missing, or the device does not compute in the
                precision.
        """
        check_precision(precision, device_of(device))
        dtype = None if precision is None else DTYPES[precision]
        if task_of(words) is not None and not is_model_folder(where):
            return cls(*_load_untrained(where, words, dtype), batch_size=batch_size, device=device)
        folder = model_folder(where)
        check_model(folder)
        saved = load_task(folder, trusted=trusted)
        if (folder / MANIFEST).is_file():
            if precision is not None:
                raise InputError(f"{where} is an ONNX export, which computes as it was exported. {WITHOUT}")
            hf = load_graphs(folder, saved.task.model_cls, saved.task.inputs)
            # ONNX Runtime's builds for accelerators are other packages
            predictor = cls(saved, hf, batch_size=batch_size, device="cpu", folder=folder)
            predictor.learner.model.rounding = OF_8_BITS
            return predictor
        # complete: transformers would fill in a missing tensor at random; stored: the scores are those of this dtype
        model_cls = auto_class(saved.task.model_cls)
        hf = load_objects(str(folder), model_cls, saved.task.inputs, dtype=dtype or "stored", complete=True)
        return cls(saved, hf, batch_size=batch_size, device=device, folder=folder)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        found: torch.device = next(self.learner.model.parameters()).device
        return found

    @property
    def options(self) -> dict[str, type]:
        """The options of a prediction, with the types of their values."""
        return dict(self.saved.task.target.options)

    @property
    def roles(self) -> tuple[str, ...]:
        """The fields of an item, such as `text`."""
        return self.saved.task.schema.inputs

    @property
    def media(self) -> Mapping[str, Media]:
        """The fields of an item that are files, such as `image`."""
        return {role: each for role, each in self.saved.task.schema.media.items() if role in self.roles}

    @property
    def example(self) -> dict[str, Any]:
        """A sample item."""
        return self.saved.task.example(self.hf)

    def examples(self, n: int) -> list[dict[str, Any]]:
        """Return `n` sample items, the same ones each time."""
        return [self.saved.task.example(self.hf, seed) for seed in range(n)]

    def predict(self, items: Any, *, bs: int | None = None, **options: Any) -> list[Any]:
        """Predict one item or many.

        Args:
            items: a text, a picture, a dict by role, or another item of the task; or a list, DataFrame, Series, Dataset
                of them.
            bs: rows in a batch; `None` takes the Predictor's batch size.
            options: see `options`.

        Returns:
            One result per item, as from `learn.predict`.

        Raises:
            InputError: the task cannot read an item or an option.
        """
        read = [self._with_roles(item) for item in items] if isinstance(items, list) else self._with_roles(items)
        result: list[Any] = self.learner.predict(read, bs=bs, **options)
        return result

    @property
    def _asked_for(self) -> tuple[str, ...]:
        """Roles that the task leaves open, and the rows that the model was trained on had."""
        return tuple(role for role in self.saved.needed if role in self.saved.task.schema.optional)

    def _with_roles(self, item: Any) -> Any:
        """Return an item without what is None, which is left out on purpose; refuse one without a role to ask for."""
        named = {*self.roles[:1]} if isinstance(item, str) else item if isinstance(item, Mapping) else self._asked_for
        lacking = [role for role in self._asked_for if role not in named]
        if lacking:
            needed, there = ", ".join(map(repr, self.saved.needed)), ", ".join(map(repr, named))
            raise InputError(
                f"The model was trained on rows with {', '.join(map(repr, lacking))}, and an item has {there} alone. "
                f"Give an item as a dict of {needed}."
            )
        return {k: v for k, v in item.items() if v is not None} if isinstance(item, Mapping) else item

    def stream(self, inputs: Inputs, settings: Mapping[str, Any], streamer: BaseStreamer) -> None:
        """Generate a text for one row of inputs, token by token; see `models.generation.stream_tokens`."""
        processor = tokenizer_of(self.hf.processor)
        stream_tokens(self.learner.model.hf_model, processor, inputs, settings, streamer)

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids that a model has written into text."""
        processor = tokenizer_of(self.hf.processor)
        return str(processor.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def predict_each(self, items: Sequence[Any], **options: Any) -> list[Any]:
        """Predict items that may be bad or unlike each other; the result of a bad one is its exception.

        Items with different roles, such as single texts and pairs, go into different batches. An InputError is the
        item's own mistake; any other exception is logged, the first of a call with its traceback.
        """
        results: list[Any] = [None] * len(items)
        alike: dict[tuple[str, ...], dict[int, Any]] = {}
        for index, given in enumerate(items):
            item = self._read(given)
            if isinstance(item, InputError):
                results[index] = item
                continue
            roles = self.roles[:1]
            if isinstance(item, Mapping):  # in a table, a row that lacks a role has None there
                roles = tuple(role for role in self.roles if item.get(role) is not None)
            alike.setdefault(roles, {})[index] = item
        for part in alike.values():
            for index, result in zip(part, self._bisected(list(part.values()), options), strict=True):
                results[index] = result
        failures = [result for result in results if is_failure(result)]
        if failures:
            log.error("%d of %d items failed, the first as follows", len(failures), len(items), exc_info=failures[0])
        return results

    def _read(self, item: Any) -> Any:
        """Open the files of an item, or return what is wrong with it: the others would be read again to find it."""
        task = self.saved.task
        try:
            self._with_roles(item)
            return task.row_of(item) if task.schema.media else item
        except InputError as error:
            return error

    def _bisected(self, items: list[Any], options: dict[str, Any]) -> list[Any]:
        try:
            return self.predict(items, **options)
        except Exception as error:  # noqa: BLE001  # whatever one item causes, the others have their predictions
            if len(items) == 1:
                return [error]
        half = len(items) // 2
        return self._bisected(items[:half], options) + self._bisected(items[half:], options)

    def check_options(self, options: dict[str, Any]) -> None:
        """Raise an InputError if the task does not have one of the options."""
        for name in options:
            if name not in self.options:
                raise InputError(
                    f"There is no option {name!r}.{nearest(name, self.options)} A prediction of this model takes "
                    f"{sorted(self.options) or 'none'}."
                )


def is_failure(result: Any) -> bool:
    """Is this an exception that is not the item's own mistake?"""
    return isinstance(result, Exception) and not isinstance(result, InputError)


def task_of(overrides: Sequence[str]) -> str | None:
    """Return the task that overrides name, as in `task=summarization`."""
    return next((each.partition("=")[2] for each in overrides if each.startswith("task=")), None)


def check_precision(precision: Precision | None, device: torch.device) -> None:
    """Refuse a precision that a device does not compute in.

    Raises:
        InputError: it does not.
    """
    if precision == "fp16" and device.type == "cpu":
        raise InputError(f"--precision fp16 needs a GPU, and the device is {device}. Choose bf16 or fp32.")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"--precision bf16: the device {device} does not compute in it. Choose fp16 or fp32.")


def _load_untrained(where: str | Path, overrides: Sequence[str], dtype: DType | None) -> tuple[SavedTask, HFObjects]:
    """Load a checkpoint with the head that it has.

    Args:
        where: local folder or Hub id.
        overrides: as for `blurr run`: the task, its settings and the model's; others are ignored.
        dtype: of the weights, in place of the one that the overrides say.

    Raises:
        InputError: an override is wrong, there is no such checkpoint, or it has no head for the task.
    """
    name = str(where)
    choose_weights(name, "pretrained")
    chosen = [each for each in overrides if each.lstrip("+~").partition("=")[0].partition(".")[0] in SETTINGS]
    cfg = composing.compose(["model=auto", f"++model.name={name!r}", *chosen])
    checks.check(cfg)
    task: Task = build(cfg.task)
    hf = _loaded(name, task, cfg.model, dtype)
    log.warning("%s has no %s: it is used as it is, untrained by blurr, for task=%s.", name, FILE, task_of(overrides))
    task.target.for_checkpoint(hf)
    task.check(hf)
    metrics: Any = OmegaConf.to_container(cfg.metrics, resolve=True)
    return SavedTask(task, {}, {"task": str(task_of(overrides))}, metrics), hf


def _loaded(name: str, task: Task, model: DictConfig, dtype: DType | None) -> HFObjects:
    given: Any = OmegaConf.to_container(model, resolve=True)
    at = {} if given["revision"] is None else {"revision": given["revision"]}
    kwargs: dict[str, Any] = {key: {**at, **given[key]} for key in ("config_kwargs", "model_kwargs")}
    kwargs["processor_kwargs"] = {**at, **given["tokenizer_kwargs"]}
    model_cls = auto_class(task.model_cls)
    return load_objects(name, model_cls, task.inputs, **kwargs, dtype=dtype or given["dtype"], complete=True)
