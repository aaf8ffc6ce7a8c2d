"""One experiment, from top to bottom, in the order of its needs."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets.utils import logging as datasets_logging
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from omegaconf import DictConfig, OmegaConf
from transformers.utils import logging as transformers_logging

from blurr.config.building import build
from blurr.config.objectives import fitted, fitted_as_said
from blurr.data.core import RawData
from blurr.errors import InputError, nearest
from blurr.loading.loader import Loader
from blurr.metrics.base import metric_key
from blurr.metrics.outcome import Outcome
from blurr.metrics.streamed import directed
from blurr.models.objects import HFObjects
from blurr.report.facts import facts_of
from blurr.report.overview import note, write_card
from blurr.report.page import write_report
from blurr.runs.checksums import put, seal
from blurr.runs.folder import CHECKPOINTS, CONFIG, IDENTITY, MODEL, MODEL_ASIDE, check_log, claimed
from blurr.runs.journal import writing
from blurr.runs.record import Record
from blurr.runs.resume import begins_anew, check_same, may_go_on
from blurr.tasks.base import Task
from blurr.tasks.saved import SavedTask, save_model
from blurr.tracking.run import Run
from blurr.tracking.sink import PARENT, ModelForm
from blurr.tracking.summary import show_summary
from blurr.tracking.trackers import tracked_run
from blurr.training.batch_size import find_batch_size
from blurr.training.checkpoints import Checkpoint, Checkpointing, latest
from blurr.training.guard import Guard, Rollback, check_weights, memory_watched
from blurr.training.learner import Blearner
from blurr.training.learning_rate import as_numbers, found_rate, learning_rate
from blurr.training.precision import (
    check_precision,
    compile_callbacks,
    for_compiling,
    precision_callbacks,
    seed_everything,
)
from blurr.training.progress import TerminalProgress
from blurr.training.tracking import Reporter, TrackingCallback

log = logging.getLogger(__name__)


def run_experiment(
    cfg: DictConfig,
    *,
    folder: Path,
    overrides: list[str],
    choices: Mapping[str, str | None],
    report: Callable[[int, float], None] | None = None,
    tags: Mapping[str, str] | None = None,
) -> float | list[float]:
    """Train, evaluate and save as the config says, and record it.

    Args:
        cfg: the composed config.
        folder: where the outputs go; it exists.
        overrides: what the command line changed, for the record.
        choices: the option chosen of each group, for the record.
        report: is told the number of each evaluation and the (first) objective's value, and may raise to end the run.
        tags: of the MLflow run, besides blurr's own.

    Returns:
        The final value of `cfg.objective`, which a sweep compares; a list of values where it is a list.
    """
    datasets_logging.disable_progress_bar()  # their bars, one for each small step, would drown ours
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    seed_everything(cfg.seed)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    chosen = {group: str(choices.get(group)) for group in ("task", "model", "data")}
    tags = {**chosen, **(tags or {})}
    with opened(cfg, folder=folder, config=config, overrides=overrides, tags=tags) as (run, checkpoint):
        task: Task = build(cfg.task)
        raw = build_raw(cfg, task)
        log.info("%s", raw)
        run.dataset(raw)
        cfg = fitted_metrics(cfg, task, raw, overrides, run, is_trial=report is not None)
        hf = build_hf(cfg, task, raw)
        log.info("%s", hf)
        run.tag(weights=hf.weights)
        if cfg.loader.batch_size == "auto":
            size = checkpoint.facts["batch_size"] if checkpoint else fitting_size(cfg, task, raw, hf)
            run.log_resolved(batch_size=size)
            cfg = OmegaConf.merge(cfg, {"loader": {"batch_size": size}})  # type: ignore[assignment]  # a mapping, too
        learner = build_learner(cfg, task, raw, hf, run, report)
        train(cfg, learner, raw, hf, run, checkpoint)
        metrics: Any = OmegaConf.to_container(cfg.metrics, resolve=True)
        saved = SavedTask(task.resolved(learner), config["data"].get("columns", {}), chosen, metrics)
        outcome = conclude(saved, learner, raw, hf, run)
        review(run, facts_of(saved, raw, hf, learner, outcome), report=cfg.report and PARENT not in run.tags)
    facts = {**outcome.lines(), "weights": f"{hf.weights} ({cfg.model.name})"}
    show_summary(run, metrics=outcome.scores, notes=outcome.notes, facts=facts)
    scores = outcome.scores
    return scores[cfg.objective] if isinstance(cfg.objective, str) else [scores[name] for name in cfg.objective]


def fitted_metrics(
    cfg: DictConfig, task: Task, raw: RawData, overrides: Sequence[str], run: Run, *, is_trial: bool
) -> DictConfig:
    """Have metrics and objective fit the labels, and record what they have become.

    Raises:
        InputError: the user names others; or this is a trial, whose sweep compares another objective.
    """
    reason = f"{raw.kind}, since {raw.reason}" if raw.kind else "by the task"
    said = fitted_as_said(cfg, overrides)
    fit = fitted(said, task.target.predicted(raw), overrides, reason=reason)
    if fit.objective == cfg.objective:
        return fit
    if is_trial and fit.objective != said.objective:
        raise InputError(
            f"objective={cfg.objective} does not fit the labels: {reason}. A sweep compares one objective, and "
            f"learns it before the rows are read: say task.kind={raw.kind}, or objective={fit.objective}."
        )
    run.log_resolved(objective=fit.objective)
    return fit


@contextmanager
def opened(
    cfg: DictConfig, *, folder: Path, config: dict[str, Any], **given: Any
) -> Iterator[tuple[Run, Checkpoint | None]]:
    """Hold the folder for one run, new or gone on with, and open it; gives its checkpoint, too.

    Args:
        cfg: the composed config.
        folder: of the run.
        config: the same, as plain values.
        given: see `tracked_run`.

    Raises:
        InputError: the folder holds another run, the run in it is alive, or was begun with another config.
    """
    goes_on = cfg.resume is not None and may_go_on(folder, config, cfg.resume)
    with ExitStack() as held:
        with writing(folder):
            claim = held.enter_context(claimed(folder, goes_on=goes_on, overwrite=cfg.overwrite))
        kept, checkpoint = resume_point(folder, config, claim.identity) if claim.goes_on else (None, None)
        if cfg.resume is not None and not claim.goes_on:
            log.info("%s", begins_anew(folder))
        with tracked_run(
            build(cfg.tracking), folder=folder, config=config, kept=kept, identity=claim.identity, **given
        ) as run:
            yield run, checkpoint


def resume_point(folder: Path, config: dict[str, Any], identity: str) -> tuple[int, Checkpoint | None]:
    """Return what a resumed run keeps: bytes of metrics.jsonl, and the last checkpoint.

    Raises:
        InputError: it was begun with another config, or something in the folder is of another run.
    """
    if (folder / CONFIG).exists():  # else it was killed before it wrote that
        check_same(folder, config)
    check_log(folder, identity)
    checkpoint = latest(folder / CHECKPOINTS, identity=identity)
    return (checkpoint.facts["bytes"] if checkpoint else 0), checkpoint


def fitting_size(cfg: DictConfig, task: Task, raw: RawData, hf: HFObjects) -> int:
    """Find out how many rows make a batch that the memory holds."""
    loader: Loader = replace(build(cfg.loader), batch_size=1)
    if loader.max_tokens is not None:
        raise InputError(
            "loader.batch_size=auto and loader.max_tokens both say how much makes a batch; leave one of them out."
        )
    dls = task.dataloaders(raw, hf, loader)

    def learner_of(size: int) -> Blearner:
        longest_first = dls.train.new(bs=size, shuffle=False)
        cbs = [*precision_callbacks(cfg.precision), *build(cfg.callbacks).values()]
        one = DataLoaders(longest_first, dls.valid, device=dls.device)
        optimizer = build_optimizer(cfg.optimizer)
        return task.learner(one, hf, raw=raw, metrics=build(cfg.metrics), optimizer=optimizer, cbs=cbs)

    return find_batch_size(learner_of, len(dls.train.dataset))


def build_learner(
    cfg: DictConfig,
    task: Task,
    raw: RawData,
    hf: HFObjects,
    run: Run,
    report: Callable[[int, float], None] | None,
) -> Blearner:
    """Make loaders and learner, with what records and watches the training."""
    metrics = build(cfg.metrics)
    objectives = [cfg.objective] if isinstance(cfg.objective, str) else list(cfg.objective)
    for name in objectives:
        check_objective(name, {"loss", *metrics}, raw)
    check_precision(hf.model.dtype, cfg.precision)
    compiling, loader = compile_callbacks(cfg.compile), build(cfg.loader)
    chosen = [*precision_callbacks(cfg.precision), *compiling, *build(cfg.callbacks).values()]
    reporters = [Reporter(objectives[0], report)] if report else []
    return task.learner(
        task.dataloaders(raw, hf, for_compiling(loader) if compiling else loader),
        hf,
        raw=raw,
        metrics=metrics,
        optimizer=build_optimizer(cfg.optimizer),
        cbs=[Guard(cfg.on_nan), TrackingCallback(run), *chosen, *reporters],
        path=run.folder,
        model_dir=CHECKPOINTS,
    )


def train(
    cfg: DictConfig, learner: Blearner, raw: RawData, hf: HFObjects, run: Run, checkpoint: Checkpoint | None
) -> None:
    """Play the schedule, from its beginning or from a checkpoint on.

    Raises:
        InputError: the checkpoint is of other data.
    """
    if checkpoint and checkpoint.facts["data"] != raw.fingerprint:
        raise InputError(f"{checkpoint.folder} was trained on other rows than {raw}; begin anew without resume.")
    with TerminalProgress.shown(learner), memory_watched(learner):
        if checkpoint:
            learner.start = checkpoint.place
        requested = checkpoint.facts["lr"] if checkpoint else cfg.optimizer.lr
        lr = learning_rate(requested, weights=hf.weights, find=partial(found_rate, learner, run.folder))
        run.tag(lr=str(lr))
        learner.fits = 0  # the learning rate finder's does not count

        def facts() -> dict[str, Any]:
            size = cfg.loader.batch_size
            return {
                IDENTITY: run.identity,
                "bytes": run.written(),
                "data": raw.fingerprint,
                "lr": as_numbers(lr),
                "batch_size": size,
            }

        goes_back = cfg.on_nan == "rollback"
        saving = Checkpointing(build(cfg.checkpoint), run.folder / CHECKPOINTS, facts, checkpoint, at_start=goes_back)
        learner.add_cb(saving)
        play(lambda: build(cfg.schedule)(learner, lr), learner, saving)
        check_weights(learner.model)


def play(schedule: Callable[[], object], learner: Blearner, saving: Checkpointing) -> None:
    """Play a schedule, each time that the guard asks for it again from the last checkpoint on."""
    while True:
        try:
            schedule()
        except Rollback:
            learner("after_fit")  # callbacks put back what they have changed
            saving.go_back()
        else:
            return


def build_raw(cfg: DictConfig, task: Task) -> RawData:
    """Load the rows, and let the task set aside what it needs for itself."""
    raw: RawData = build(cfg.data, schema=task.row_schema())
    return task.prepare(raw)


def build_hf(cfg: DictConfig, task: Task, raw: RawData, *, load_weights: bool = True) -> HFObjects:
    """Make tokenizer, config and model: what the task and the data say goes in."""
    hf: HFObjects = build(
        cfg.model,
        model_cls=task.model_cls,
        inputs=task.inputs,
        config=task.target.model_config(raw),
        corpus=partial(task.corpus, raw),
        load_weights=load_weights,
    )
    return hf


def build_optimizer(node: DictConfig) -> Any:
    """Make the optimizer's `partial`; its learning rate is the schedule's affair."""
    return build(OmegaConf.masked_copy(node, [str(key) for key in node if key != "lr"]))


def conclude(saved: SavedTask, learner: Learner, raw: RawData, hf: HFObjects, run: Run) -> Outcome:
    """Score the final model, and leave its scores, predictions and weights behind."""
    task = saved.task
    outcome = Outcome()
    outcome.ask(directed(learner.metrics))
    for split, table in (("valid", "predictions"), ("test", "predictions_test")):
        if split in raw.splits:
            result = task.evaluate(learner, raw, split)
            outcome.add(split, result)
            run.table(table, result.rows)
            for name, text in task.target.text_reports(result.rows).items():
                report = run.folder / f"{split}_{name}"
                with writing(report):
                    report.write_text(text, encoding="utf-8")
                run.artifact(report)
    model_folder = run.folder / MODEL
    aside = run.folder / MODEL_ASIDE
    with writing(model_folder):
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        save_model(aside, saved, hf)
        seal(aside, identity=run.identity)
        put(aside, model_folder)
    required = {k: v for k, v in task.example(hf).items() if k in task.schema.required}
    optional = [role for role in task.schema.inputs if role not in required]
    run.model(model_folder, ModelForm(required, optional, task.target.options))
    for path in sorted(run.folder.glob("lr_find.*")):
        run.artifact(path)
    run.tag(**outcome.tags())
    run.finish(outcome.scores)
    return outcome


def review(run: Run, facts: dict[str, Any], *, report: bool) -> None:
    """Leave the facts of a run, its description, the card of its model, and its report where one is wanted."""
    run.write_facts(facts)
    record = Record(run.folder)
    run.tag(**{"mlflow.note.content": note(record)})
    run.artifact(write_card(record), "model")
    if report:
        for path in write_report(record):
            run.artifact(path)


def check_objective(name: str, metrics: set[str], raw: RawData) -> None:
    """Refuse an objective that the run will not have, before it has trained.

    Raises:
        InputError: no metric has that name.
    """
    there = sorted(
        metric_key(split, metric) for split in ("valid", "test") if split in raw.splits for metric in metrics
    )
    if name not in there:
        raise InputError(f"objective={name} names no metric of this run.{nearest(name, there)} There are {there}.")
