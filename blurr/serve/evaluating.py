"""Score a trained model on other data, by the metrics of its run."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from omegaconf import DictConfig, OmegaConf

from blurr.config import checks, composing
from blurr.config.building import build
from blurr.config.trust import TRUST, check_config
from blurr.data.core import RawData, with_known_labels
from blurr.errors import InputError, writing
from blurr.loading.loader import Loader
from blurr.metrics.base import metric_key
from blurr.metrics.outcome import Evaluation
from blurr.runs.folder import SCORES, TABLES
from blurr.runs.jsonlines import to_json
from blurr.serve.predictor import Predictor
from blurr.serve.untrained import task_of
from blurr.tasks.saved import FILE, SavedTask


def evaluate(
    predictor: Predictor, words: Sequence[str], *, split: str | None = None, trusted: Sequence[str] = ()
) -> tuple[str, Evaluation]:
    """Score a model.

    Args:
        predictor: the model.
        words: as for `blurr run`: the data (`data=files data.test=new.csv`), and other metrics than those of its run.
        split: the one to score; `None` takes `test` where there is one, else `valid`.
        trusted: packages whose metrics the model's file may name, besides what `blurr.config.trust` lists.

    Returns:
        The split that was scored, and what the model does on it.

    Raises:
        InputError: the words, the data or the split are not what they should be.
    """
    task, hf = predictor.saved.task, predictor.hf
    cfg, schema = composed(predictor.saved, words), task.row_schema(hf)
    raw: RawData = build(cfg.data, schema=schema)
    chosen = split or ("test" if "test" in raw.splits else "valid")
    if chosen not in raw.splits:
        raise InputError(f"--split {chosen}: {raw.source} has the splits {sorted(raw.splits)}.")
    metrics = build(cfg.metrics if _names_metrics(words) else kept_metrics(predictor.saved, trusted))
    rows = with_known_labels(replace(raw, splits=DatasetDict({chosen: raw.splits[chosen]})), schema)
    size = predictor.batch_size
    dls = task.dataloaders(rows, hf, Loader(batch_size=size, eval_batch_size=size, cache=cfg.loader.cache))
    learner = task.learner(dls, hf, raw=rows, metrics=metrics)
    return chosen, task.evaluate(learner, rows, chosen)


def composed(saved: SavedTask, words: Sequence[str]) -> DictConfig:
    """Compose and check a config of the task, of which the data counts; its columns are those of the run.

    Raises:
        InputError: a word is wrong, or says of no rows.
    """
    data = next((word.partition("=")[2] for word in words if word.startswith("data=")), None)
    columns = saved.columns if data == saved.choices.get("data") else {}
    kept = [f"data.columns.{role}={_word(column)}" for role, column in columns.items() if column is not None]
    # a plus adds a role that the task's YAML does not name, and changes one that it does
    task = [] if task_of(words) is not None else [f"task={saved.choices.get('task')}"]
    cfg = composing.compose([*task, *(f"++{word}" for word in kept), *words])
    if OmegaConf.is_missing(cfg.data, "train"):
        rows = cfg.data.test or cfg.data.valid
        if rows is None:
            raise InputError("Say which rows to score the model on, such as data=files data.test=new.csv.")
        # nothing is trained: they stand for the rows that a loader of files asks for, and are read for no more
        cfg.data.train = rows
        cfg.data.valid = cfg.data.valid or rows
    checks.check(cfg)
    return cfg


def _word(column: Any) -> str:
    """Write a column, or a list of them, as Hydra reads text."""
    if isinstance(column, str):
        doubled = re.sub(r"\\+(?='|$)", lambda found: 2 * found[0], column)  # backslashes before a quote
        return "'" + doubled.replace("'", "\\'") + "'"
    return f"[{','.join(_word(str(each)) for each in column)}]"


def _names_metrics(words: Sequence[str]) -> bool:
    return any(word.lstrip("+~").startswith("metrics") for word in words)


def kept_metrics(saved: SavedTask, trusted: Sequence[str] = ()) -> DictConfig:
    """Give the config of the metrics of the run.

    Raises:
        InputError: one of them is not listed in `blurr.config.trust`, nor in a trusted package.
    """
    remedy = f"Name the metrics: metrics=[accuracy]. {TRUST}"
    check_config({"metrics": saved.metrics}, where=FILE, remedy=remedy, trusted=trusted)
    return OmegaConf.create(dict(saved.metrics))


def write(folder: Path, split: str, evaluation: Evaluation, reports: dict[str, str]) -> None:
    """Write scores, rows and reports as a run does.

    Raises:
        ResourceError: they cannot be written.
    """
    scores = {metric_key(split, name): value for name, value in evaluation.metrics.items()}
    with writing(folder, "Make room, or choose another --output."):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SCORES).write_text(to_json(scores, indent=2) + "\n", encoding="utf-8")
        with (folder / TABLES["valid"]).open("w", encoding="utf-8") as file:
            file.writelines(to_json(row) + "\n" for row in evaluation.rows)
        for name, text in reports.items():
            (folder / f"{split}_{name}").write_text(text, encoding="utf-8")
