"""Score a trained model on other data, by the metrics of its run."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datasets import Dataset, DatasetDict
from omegaconf import DictConfig, OmegaConf

from blurr.config import composing
from blurr.config.building import build
from blurr.config.trust import TRUST, check_config, quoted
from blurr.data import checks
from blurr.data.core import RawData, with_known_labels
from blurr.data.doubts import LOOK, MUCH_SEEN, SKETCHED, from_sketch, met
from blurr.data.naming import WEIGHT
from blurr.errors import InputError, writing
from blurr.loading.loader import Loader
from blurr.metrics.base import metric_key
from blurr.metrics.outcome import Evaluation
from blurr.runs.checksums import write_whole
from blurr.runs.folder import FACTS, INTERVALS, SCORES, TABLES
from blurr.runs.jsonlines import to_json
from blurr.runs.record import Record
from blurr.serve.predictor import Predictor, task_of
from blurr.tasks.saved import FILE, SavedTask

log = logging.getLogger(__name__)


def evaluate(
    predictor: Predictor, overrides: Sequence[str], *, split: str | None = None, trusted: Sequence[str] = ()
) -> tuple[str, Evaluation]:
    """Score a model.

    Args:
        predictor: the model.
        overrides: as for `blurr run`: the data (`data=files data.test=new.csv`), and other metrics than the run's.
        split: the split to score; `None` takes `test` if there is one, else `valid`.
        trusted: packages whose metrics the model's file may name, besides those that `blurr.config.trust` lists.

    Returns:
        The name of the scored split, and the result.

    Raises:
        InputError: an override, the data or the split is wrong.
    """
    task, hf = predictor.saved.task, predictor.hf
    cfg, schema = composed(predictor.saved, overrides), task.row_schema(hf)
    raw: RawData = build(cfg.data, schema=schema)
    chosen = split or ("test" if "test" in raw.splits else "valid")
    if chosen not in raw.splits:
        raise InputError(f"--split {chosen}: {raw.source} has the splits {sorted(raw.splits)}.")
    names_metrics = any(each.lstrip("+~").startswith("metrics") for each in overrides)
    metrics = build(cfg.metrics if names_metrics else kept_metrics(predictor.saved, trusted))
    rows = with_known_labels(replace(raw, splits=DatasetDict({chosen: raw.splits[chosen]})), schema)
    if predictor.saved.own_loss:
        said = "The loss here is the task's own, not the run's %s: compare it with no loss of the run."
        log.warning(said, predictor.saved.own_loss)
    _look_for_seen(predictor, rows.splits[chosen], rows.where(chosen))
    size = predictor.batch_size
    dls = task.dataloaders(rows, hf, Loader(batch_size=size, eval_batch_size=size, cache=cfg.loader.cache))
    learner = task.learner(dls, hf, raw=rows, metrics=metrics)
    return chosen, task.evaluate(learner, rows, chosen)


def _look_for_seen(predictor: Predictor, rows: Dataset, where: str) -> None:
    """Warn of rows that the model was trained on, as far as the folder of its run tells."""
    run = None if predictor.folder is None else predictor.folder.parent
    seen = Record(run).facts.get("seen") if run is not None and (run / FACTS).is_file() else None
    if not seen:
        return
    known = from_sketch(seen)
    found, of = met(rows, predictor.saved.task.schema, known, is_part=len(known) == SKETCHED)
    if found > MUCH_SEEN * of:
        share = f"{found} of {of} rows" if of == len(rows) else f"about {found / of:.0%} of the {len(rows)} rows"
        said = f"the model was trained on {share} of {where}"
        log.warning(LOOK, said, "score it on others, for these scores say nothing of new rows")


def composed(saved: SavedTask, overrides: Sequence[str]) -> DictConfig:
    """Compose and check a config with the data to score; the columns are the run's if the option of `data` is.

    Raises:
        InputError: an override is wrong, or none names rows.
    """
    data = next((each.partition("=")[2] for each in overrides if each.startswith("data=")), None)
    columns = saved.columns if data == saved.choices.get("data") else {}
    # a plus adds a role that the task's YAML lacks, and changes one that it has
    used = {role: column for role, column in columns.items() if column is not None and role != WEIGHT}
    kept = [f"++data.columns.{role}={quoted(column)}" for role, column in used.items()]
    task = [] if task_of(overrides) is not None else [f"task={saved.choices.get('task')}"]
    cfg = composing.compose([*task, *kept, *overrides])
    if OmegaConf.is_missing(cfg.data, "train"):
        rows = cfg.data.test or cfg.data.valid
        if rows is None:
            raise InputError("Say which rows to score the model on, such as data=files data.test=new.csv.")
        # nothing is trained, but a reader of files needs a train split: the rows to score stand in for it
        cfg.data.train = rows
        cfg.data.valid = cfg.data.valid or rows
    checks.check(cfg)
    return cfg


def kept_metrics(saved: SavedTask, trusted: Sequence[str] = ()) -> DictConfig:
    """Return the config of the run's metrics.

    Raises:
        InputError: a metric is neither listed in `blurr.config.trust` nor part of a trusted package.
    """
    remedy = f"Name the metrics: metrics=[accuracy]. {TRUST}"
    check_config({"metrics": saved.metrics}, where=FILE, remedy=remedy, trusted=trusted)
    return OmegaConf.create(dict(saved.metrics))


def write(folder: Path, split: str, evaluation: Evaluation, reports: dict[str, str]) -> None:
    """Write scores, rows and reports into the files that a run also writes.

    Raises:
        ResourceError: the folder cannot be written.
    """
    scores = {metric_key(split, name): value for name, value in evaluation.metrics.items()}
    with writing(folder, "Make room, or choose another --output."):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TABLES["valid"]).open("w", encoding="utf-8") as file:
            file.writelines(to_json(row) + "\n" for row in evaluation.rows)
        for name, text in reports.items():
            (folder / f"{split}_{name}").write_text(text, encoding="utf-8")
        if evaluation.intervals:
            ends = {metric_key(split, name): found for name, found in evaluation.intervals.items()}
            write_whole(folder / INTERVALS, to_json(ends, indent=2) + "\n")
        write_whole(folder / SCORES, to_json(scores, indent=2) + "\n")  # last: where it stands, the others are whole
