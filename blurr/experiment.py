"""One experiment, from top to bottom, in the order of its needs."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from blurr.config.building import build
from blurr.config.naming import model_label
from blurr.config.objectives import fitted_to_rows, objectives
from blurr.models.devices import device_of
from blurr.process.setup import hide_progress_bars
from blurr.process.terminal import phase
from blurr.report.artifacts import describe_run
from blurr.report.facts import facts_of
from blurr.runs.naming import differences, subject_of
from blurr.runs.resume import as_begun
from blurr.tasks.base import Task
from blurr.tasks.parts import build_hf, build_learner, build_raw, resolved
from blurr.tasks.results import evaluate_and_save
from blurr.tasks.saved import SavedTask, with_found
from blurr.tracking.sink import DIFFERS, PARENT, SUBJECT
from blurr.tracking.summary import show_summary
from blurr.training.default_rates import default_rate
from blurr.training.distributed import current, from_first, joined
from blurr.training.precision import seed_everything
from blurr.training.session import opened

log = logging.getLogger(__name__)


@joined()
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
        report: called with the number of each evaluation and the (first) objective's value; may raise to end the run.
        tags: of the MLflow run, besides blurr's own.

    Returns:
        The final value of `cfg.objective`, which a sweep compares; a list of values if it is a list.
    """
    hide_progress_bars()
    device = device_of(cfg.device)
    cfg = from_first(lambda: as_begun(cfg, folder, overrides))
    seed_everything(cfg.seed)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    chosen = {group: str(choices.get(group)) for group in ("task", "model", "data")}
    chosen["model"] = model_label(chosen["model"], cfg.model.name)
    named = {SUBJECT: subject_of(config, overrides, chosen), DIFFERS: differences(overrides)}
    recorded = {"config": config, "overrides": overrides, "tags": {**chosen, **named, **(tags or {})}}
    with opened(build(cfg.tracking), folder=folder, **recorded) as session:
        run = session.run
        task: Task = build(cfg.task)
        phase("Reading rows")
        raw = build_raw(cfg, task)
        log.info("%s", raw)
        run.dataset(raw)
        is_trial = from_first(lambda: report is not None)
        fit = fitted_to_rows(cfg, task.target.predicted(raw), overrides, raw.kind, raw.reason, is_trial=is_trial)
        if fit.objective != cfg.objective:
            run.log_resolved(objective=fit.objective)
        cfg = fit
        phase("Loading the model")
        hf = build_hf(cfg, task, raw)
        log.info("%s", hf)
        run.tag(weights=hf.weights, device=str(device))
        cfg, why = resolved(cfg, task, raw, hf, session)
        phase("Encoding rows")
        learner = build_learner(cfg, task, raw, hf, run, report)
        schedule = build(cfg.schedule)
        default = default_rate(schedule, weights=hf.weights, config=hf.config, has_adapter=hf.adapter is not None)
        if hf.adapter is not None and cfg.optimizer.lr is None:
            log.info("Learning rate %s: %s.", default.rate, default.reason)
        session.train(
            learner,
            raw,
            schedule,
            lr=cfg.optimizer.lr,
            default=default.rate,
            checkpoints=build(cfg.checkpoint),
            facts={"batch_size": cfg.loader.batch_size, "precision": cfg.precision},
            at_start=cfg.on_nan == "rollback",
        )
        metrics: Any = OmegaConf.to_container(cfg.metrics, resolve=True)
        columns = with_found(config["data"].get("columns", {}), raw.train, task.schema)
        saved = SavedTask(task.resolved(learner), columns, chosen, metrics)
        outcome = evaluate_and_save(saved, learner, raw, hf, run)
        if not current().is_first:
            return math.nan  # the first of several processes has the scores
        is_reported = cfg.report and PARENT not in run.tags  # trials of a sweep get theirs by `blurr report FOLDER`
        describe_run(run, facts_of(saved, raw, hf, learner, outcome), report=is_reported)
    facts = {**outcome.lines(), "weights": f"{hf.weights} ({cfg.model.name})", **({"precision": why} if why else {})}
    facts |= {"adapter": str(hf.adapter)} if hf.adapter is not None else {}
    show_summary(
        run,
        metrics=outcome.scores,
        notes=outcome.notes,
        intervals=outcome.intervals,
        facts=facts,
        roles=saved.needed,
        files=bool(task.schema.media),
    )
    scores = [outcome.scores[name] for name in objectives(cfg)]
    return scores[0] if isinstance(cfg.objective, str) else scores
