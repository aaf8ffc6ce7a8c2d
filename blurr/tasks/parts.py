"""Build the parts of an experiment that a task connects, as its config says: rows, model, loaders, learner."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from omegaconf import DictConfig, OmegaConf

from blurr.config.building import build
from blurr.config.objectives import objectives
from blurr.data.core import RawData
from blurr.data.doubts import look_at
from blurr.errors import InputError, nearest
from blurr.metrics.base import metric_key
from blurr.models.adapters import with_adapter
from blurr.models.devices import device_of, warn_of_slow_bf16
from blurr.models.objects import HFObjects
from blurr.runs.folder import CHECKPOINTS
from blurr.tasks.base import Task
from blurr.tasks.evaluating import described
from blurr.tracking.run import Run
from blurr.tracking.sink import PARENT
from blurr.training.batch_size import find_batch_size
from blurr.training.callbacks.mixup import Mixing
from blurr.training.default_rates import sets_rates_of_groups
from blurr.training.distributed import alone, check_same_rows, from_first, in_turn
from blurr.training.guard import Guard
from blurr.training.last_validation import LastValidation
from blurr.training.learner import Blearner
from blurr.training.precision import check_precision, compile_callbacks, for_compiling, precision_callbacks
from blurr.training.precision_choice import Choice, choose_precision, same_for_all
from blurr.training.session import Session
from blurr.training.tracking import Reporter, TrackingCallback

log = logging.getLogger(__name__)


def build_raw(cfg: DictConfig, task: Task) -> RawData:
    """Load the rows, and let the task set aside what it needs for itself."""
    with in_turn():
        raw: RawData = build(cfg.data, schema=task.row_schema())
    check_same_rows(raw.fingerprint)
    look_at(raw, task.schema)
    return task.prepare(raw)


def build_hf(cfg: DictConfig, task: Task, raw: RawData, *, load_weights: bool = True) -> HFObjects:
    """Make tokenizer, config and model, as the task and the data require, with the adapter that is chosen.

    Its groups are as the learning rates require.
    """
    with in_turn():
        hf: HFObjects = build(
            cfg.model,
            model_cls=task.model_cls,
            inputs=task.inputs,
            config=task.target.model_config(raw),
            corpus=partial(task.corpus, raw),
            load_weights=load_weights,
        )
    differ = OmegaConf.is_list(cfg.optimizer.lr) or sets_rates_of_groups(build(cfg.schedule))
    hf = replace(hf, groups="layers") if hf.groups is None and differ else hf
    adapter = _option(cfg, "adapter")
    known = {key: OmegaConf.select(cfg, f"model.{key}") for key in ("revision", "quantize")}
    return hf if adapter is None else with_adapter(hf, adapter, name=cfg.model.name, **known)


def build_learner(
    cfg: DictConfig,
    task: Task,
    raw: RawData,
    hf: HFObjects,
    run: Run,
    report: Callable[[int, float], None] | None,
) -> Blearner:
    """Make loaders and learner, with the callbacks that record and guard the training.

    Args:
        cfg: the config.
        task: which makes both.
        raw: the rows.
        hf: tokenizer and model.
        run: which the training is recorded in.
        report: see `Reporter`; None outside a sweep.
    """
    check_objectives(cfg, raw.splits)
    check_precision(hf.model.dtype, cfg.precision)
    if cfg.precision == "bf16":
        warn_of_slow_bf16(device_of(cfg.device))
    compiling, loader = compile_callbacks(cfg.compile), build(cfg.loader)
    is_reported = from_first(lambda: report is not None)
    chosen = [*precision_callbacks(cfg.precision), *compiling, *build(cfg.callbacks).values()]
    reporters = [Reporter(objectives(cfg)[0], report or (lambda *_: None))] if is_reported else []
    kept = LastValidation(partial(described, task.target))
    cbs = [Guard(cfg.on_nan), kept, TrackingCallback(run), *chosen, *reporters]
    fitted = for_compiling(loader) if compiling else loader
    with in_turn() if loader.cache else nullcontext():  # the others find what the first has encoded
        dls = task.dataloaders(raw, hf, fitted, device=cfg.device, augment=build_augment(cfg))
    return _learner(cfg, task, raw, hf, dls, cbs, path=run.folder, model_dir=CHECKPOINTS)


def check_objectives(cfg: DictConfig, splits: Iterable[str]) -> None:
    """Refuse an objective that the run will not have, before it trains.

    Raises:
        InputError: no metric has that name.
    """
    metrics, scored = ("loss", *map(str, cfg.metrics)), {"valid", "test"} & set(splits)
    there = sorted(metric_key(split, metric) for split in scored for metric in metrics)
    for name in objectives(cfg):
        if name not in there:
            raise InputError(f"objective={name} names no metric of this run.{nearest(name, there)} There are {there}.")


def resolved(cfg: DictConfig, task: Task, raw: RawData, hf: HFObjects, session: Session) -> tuple[DictConfig, str]:
    """Resolve what `auto` stands for as this machine, the model and the rows say, and record it.

    A resumed run goes on with what its checkpoint knows, and the trials of a sweep all have the same precision.

    Returns:
        The config with the values, and why its precision was chosen; an empty text if nothing was measured.
    """
    run, why = session.run, ""
    known = session.resumed.facts if session.resumed else {}
    if cfg.loader.batch_size == "auto":
        size = known["batch_size"] if known else fitting_size(cfg, task, raw, hf)
        run.log_resolved(batch_size=size)
        cfg = OmegaConf.merge(cfg, {"loader": {"batch_size": size}})  # type: ignore[assignment]  # a mapping, too
    if cfg.precision == "auto":
        choose = partial(from_first, partial(_choice, cfg, task, raw, hf))
        taken = Choice(known["precision"], "as the run was begun with") if known else None
        choice = taken or (same_for_all(run.folder.parent, choose) if PARENT in run.tags else choose())
        log.info("precision=auto: %s.", choice)
        run.log_resolved(precision=choice.precision)
        cfg, why = OmegaConf.merge(cfg, {"precision": choice.precision}), str(choice)  # type: ignore[assignment]
    return cfg, why


def _choice(cfg: DictConfig, task: Task, raw: RawData, hf: HFObjects) -> Choice:
    """Choose a precision by the first rows, in their order in the file."""
    with alone():
        dls = task.dataloaders(raw, hf, build(cfg.loader), device=cfg.device)
        in_order = DataLoaders(dls.train.new(shuffle=False), dls.valid, device=dls.device)
        return choose_precision(
            lambda precision: _learner(cfg, task, raw, hf, in_order, precision_callbacks(precision)), dls.device
        )


def fitting_size(cfg: DictConfig, task: Task, raw: RawData, hf: HFObjects) -> int:
    """Find the largest number of rows of a batch that fits into memory."""
    with in_turn() if cfg.loader.cache else nullcontext():
        dls = task.dataloaders(raw, hf, replace(build(cfg.loader), batch_size=1), device=cfg.device)

    def learner_of(size: int) -> Blearner:
        longest_first = DataLoaders(dls.train.new(bs=size, shuffle=False), dls.valid, device=dls.device)
        chosen = [each for each in build(cfg.callbacks).values() if not isinstance(each, Mixing)]
        cbs = [*precision_callbacks(cfg.precision), *chosen]  # rows in one order have no seeds to mix them by
        return _learner(cfg, task, raw, hf, longest_first, cbs)

    return find_batch_size(learner_of, len(dls.train.dataset))


def _learner(
    cfg: DictConfig,
    task: Task,
    raw: RawData,
    hf: HFObjects,
    dls: DataLoaders,
    cbs: Sequence[Callback],
    **options: Any,
) -> Blearner:
    options["max_grad_norm"] = OmegaConf.select(cfg, "optimizer.max_grad_norm")
    optimizer = build_optimizer(cfg)
    return task.learner(dls, hf, raw=raw, metrics=build(cfg.metrics), optimizer=optimizer, cbs=cbs, **options)


def build_augment(cfg: DictConfig) -> Callable[..., Any] | None:
    """Return what changes training rows at random; None if they stay as they are."""
    made: Callable[..., Any] | None = _option(cfg, "augment")
    return made


def _option(cfg: DictConfig, group: str) -> Any:
    """Build the option of a group that has the option `none`, and that older records lack; None is none."""
    chosen = OmegaConf.select(cfg, group)
    return build(chosen) if chosen else None


def build_optimizer(cfg: DictConfig) -> Callable[..., Any]:
    """Return what makes the optimizer of a run."""
    # the learning rate goes to the schedule, which sets it; the norm, which older records lack, to the learner
    kept = [str(key) for key in cfg.optimizer if key not in ("lr", "max_grad_norm")]
    optimizer: Callable[..., Any] = build(OmegaConf.masked_copy(cfg.optimizer, kept))
    return optimizer
