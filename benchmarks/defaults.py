"""Compare results at equal steps: `python -m benchmarks.defaults --data FOLDER --model FOLDER [--steps 50,150]`.

blurr's defaults against those of Trainer and the usual settings of transformers' example scripts: the same rows, first
weights, size of a batch and number of steps, and the same scoring of the validation rows. FOLDER of the data holds one
folder for each row of the table, named as the row is; FOLDER of the model is the encoder all-MiniLM-L6-v2. What each
training gave is kept in `--kept FILE`, so that a measurement can go on another day; `--only ''` prints what is kept.
"""

import argparse
import itertools
import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from copy import copy
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import disable_progress_bars
from fastai.data.core import DataLoaders
from omegaconf import DictConfig
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.utils import logging as transformers_logging

from benchmarks.commands import markdown, show
from benchmarks.measuring import machine
from blurr.config.building import build
from blurr.config.composing import compose
from blurr.data.core import RawData
from blurr.loading.columns import Ragged, chosen
from blurr.loading.rows import EncodedRows
from blurr.models.objects import HFObjects
from blurr.tasks.base import Task
from blurr.tasks.parts import build_hf, build_learner, build_raw
from blurr.text.inputs import TextRows
from blurr.tracking.trackers import NoTracker, tracked_run
from blurr.training.default_rates import default_rate
from blurr.training.learner import Blearner
from blurr.training.learning_rate import learning_rate
from blurr.training.precision import seed_everything

BATCH, ROWS, VALID = 8, 400, 200
HEADER = ["data", "score", "steps", "blurr", "Trainer", "script", "blurr is"]
Kept = list[dict[str, Any]]
Places = tuple[Path, Path]
TRAINER: dict[str, Any] = {}  # what TrainingArguments() are: 5e-5, falling linearly, clipped at 1; no warm-up, no decay


@dataclass(frozen=True)
class Problem:
    """A data set, how blurr reads it, and how transformers' example script for it is usually called.

    Args:
        words: the command line of blurr, besides data and model.
        score: what is compared, of the validation rows.
        script: settings with which transformers documents its example; none where these are Trainer's defaults.
        from_scratch: a small model of the task's own architecture, for there are no weights to begin with.
        lower: the lower score is the better.
        rows: of the training split.
    """

    words: str
    score: str = "loss"
    script: Mapping[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    is_compact: bool = True
    lower: bool = False
    rows: int = ROWS


GLUE, QA = {"learning_rate": 2e-5}, {"learning_rate": 3e-5}
PROBLEMS = {
    "sst2": Problem(
        "data.train={data}/train.tsv data.valid={data}/dev.tsv data.columns.text=sentence task.max_length=32",
        "accuracy",
        GLUE,
    ),
    "go_emotions": Problem(
        "data.train={data}/train.jsonl data.valid={data}/dev.jsonl data.columns.label=labels task.max_length=32 "
        "metrics=[]",
        script=GLUE,
        lower=True,
    ),
    "stsb": Problem(
        "data.train={data}/train.csv data.valid={data}/dev.csv data.columns.text=sentence1 "
        "data.columns.text_pair=sentence2 data.columns.label=score metrics=[pearson] task.max_length=48",
        "pearson",
        GLUE,
    ),
    "wnut17": Problem(
        "task=token_classification data.train={data}/train.conll data.valid={data}/dev.conll task.max_length=24", "f1"
    ),
    "xquad": Problem(
        "task=question_answering data.train={data}/xquad.en.json data.splits.by=group data.splits.column=title "
        "task.max_length=64 task.stride=16 task.max_question_length=24 metrics=[squad_f1]",
        "f1",
        QA,
        rows=200,
    ),
    "wiki103": Problem("task=masked_lm data.train={data}/sample.csv metrics=[]", is_compact=False, lower=True),
    "dialogsum": Problem(
        "task=summarization data.train={data}/dev.jsonl data.columns.text=dialogue task.max_length=64 "
        "task.max_target_length=32 metrics=[] model.scratch_vocab=2000",
        from_scratch=True,
        is_compact=False,
        lower=True,
    ),
    "multi30k": Problem(
        "task=translation data.train={data}/train.jsonl data.valid={data}/val.jsonl metrics=[] "
        "data.columns.source=translation.de data.columns.target=translation.en model.scratch_vocab=2000",
        from_scratch=True,
        is_compact=False,
        lower=True,
    ),
}


@dataclass
class Case:
    """One training to be done: rows, first weights and learner, all made anew."""

    cfg: DictConfig
    task: Task
    raw: RawData
    hf: HFObjects
    learner: Blearner

    def score(self, name: str) -> dict[str, float]:
        """Score the validation rows."""
        with redirect_stdout(StringIO()):
            metrics = self.task.evaluate(self.learner, self.raw).metrics
        return {"score": metrics[name], "loss": metrics["loss"]}


def configured(name: str, places: Places, words: Sequence[str], seed: int) -> DictConfig:
    """Compose the config of a command line; the places are the folders of the data and the model."""
    data, model = places
    problem = PROBLEMS[name]
    given = problem.words.format(data=data / name).split()
    encoder = ["model=auto", f"model.name={model}"]
    options = ["data=files", f"data.limit={{train: {problem.rows}, valid: {VALID}}}", f"loader.batch_size={BATCH}"]
    return compose(
        [
            *(["model.weights=scratch"] if problem.from_scratch else encoder),
            *(*options, "tracking=none", f"objective=valid/{problem.score}", f"seed={seed}"),
            *given,
            *words,
        ]
    )


def first(rows: EncodedRows, count: int) -> EncodedRows:
    """Take the first rows; a text may have become several."""
    taken = copy(rows)
    taken.columns = {name: chosen(values, range(count)) for name, values in rows.columns.items()}
    return taken


def of_words_that_occur(case: Case) -> None:
    """Leave the embeddings of other words out, which would only cost time: nothing but decay happens to them."""
    embeddings = case.hf.model.get_input_embeddings()
    columns = [dl.dataset.columns for dl in case.learner.dls.loaders]
    used = np.unique(np.concatenate([np.arange(1), *(each["input_ids"].flat for each in columns)]))  # 0 pads
    embeddings.weight = nn.Parameter(embeddings.weight.detach()[torch.from_numpy(used)])
    for each in columns:
        ids = each["input_ids"]
        each["input_ids"] = Ragged(np.searchsorted(used, ids.flat).astype(np.int32), ids.offsets)


def by_blurr(case: Case) -> None:
    """Train as the config says, without scoring on the way."""
    learner = case.learner
    schedule = build(case.cfg.schedule)
    default = default_rate(schedule, weights=case.hf.weights, config=case.hf.config).rate
    lr = learning_rate(case.cfg.optimizer.lr, default=default, find=lambda: default)
    dls, metrics = learner.dls, learner.metrics
    learner.metrics, learner.dls = [], DataLoaders(dls.train, dls.valid.new(TextRows({})), device=dls.device)
    with learner.no_bar(), learner.no_logging():
        schedule(learner, lr)
    learner.dls, learner.metrics = dls, metrics


def by_trainer(case: Case, steps: int, seed: int, settings: Mapping[str, Any]) -> None:
    """Train by Trainer, with rows at random and blurr's padding."""
    train, model = case.learner.dls.train, case.hf.model
    known = case.learner.model.known

    def collate(rows: list[Any]) -> dict[str, torch.Tensor]:
        inputs, targets = train.create_batch(rows)
        batch = {key: value for key, value in inputs.items() if key in known}
        if "start_positions" in known:  # of answers, which blurr keeps beside the inputs
            batch |= dict(zip(("start_positions", "end_positions"), targets.unbind(-1), strict=True))
        return {key: value.float() if value.dtype == torch.float64 else value for key, value in batch.items()}

    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}
    sizes = {"per_device_train_batch_size": train.bs, "max_steps": steps, "seed": seed, "remove_unused_columns": False}
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        arguments = TrainingArguments(folder, use_cpu=True, **quiet, **sizes, **settings)
        Trainer(model=model, args=arguments, train_dataset=train.dataset, data_collator=collate).train()


def trained(name: str, way: str, cfg: DictConfig, steps: int, seed: int) -> dict[str, Any]:
    """Train in one way, and score it."""
    problem = PROBLEMS[name]
    seed_everything(seed)
    task: Task = build(cfg.task)
    raw = build_raw(cfg, task)
    hf = build_hf(cfg, task, raw)
    with (
        tempfile.TemporaryDirectory() as folder,
        tracked_run(NoTracker(), folder=Path(folder), config={}, overrides=[], tags={}) as run,
    ):
        learner = build_learner(cfg, task, raw, hf, run, None)
        learner.dls.train = learner.dls.train.new(first(learner.dls.train.dataset, problem.rows))
        case = Case(cfg, task, raw, hf, learner)
        if problem.is_compact:
            of_words_that_occur(case)
        seed_everything(seed)
        start = time.process_time()
        if way.startswith("blurr"):
            by_blurr(case)
        else:
            by_trainer(case, steps, seed, TRAINER if way == "Trainer" else problem.script)
        seconds = time.process_time() - start
        return {**case.score(problem.score), "cpu": round(seconds, 1)}


def ways_of(name: str) -> list[str]:
    """Name the ways to train: the script's is Trainer's own where it changes nothing."""
    return ["blurr", "Trainer", "script"] if PROBLEMS[name].script else ["blurr", "Trainer"]


def measure(places: Places, kept: Kept, name: str, words: str, *, steps: int, seed: int) -> Iterator[str]:
    """Train in each way that is not kept yet, or with these words more in blurr's alone; yield what each gave."""
    for way in [f"blurr {words}"] if words else ways_of(name):
        if any(row["key"] == [name, steps, way, seed] for row in kept):
            continue
        cfg = configured(name, places, [f"schedule.steps={steps}", *words.split()], seed)
        found = trained(name, way, cfg, steps, seed)
        kept.append({"key": [name, steps, way, seed], **found})
        yield f"{name}, {steps} steps, seed {seed}, {way}: {found['score']:.4f}, {found['cpu']} s"


def verdict(name: str, blurr: Sequence[float], others: Sequence[Sequence[float]]) -> str:
    """Compare the means: level is what one standard error of the difference may explain."""
    sign = -1 if PROBLEMS[name].lower else 1
    said = []
    for other in others:
        error = math.sqrt(sum(statistics.variance(each) / len(each) for each in (blurr, other)))
        ahead = sign * (statistics.fmean(blurr) - statistics.fmean(other))
        said.append("level" if abs(ahead) <= error else "better" if ahead > 0 else "worse")
    return max(said, key=["better", "level", "worse"].index)


def table(kept: Kept) -> list[list[str]]:
    """Make a row for each data set and number of steps that was measured with at least two seeds."""
    rows = []
    for name, steps in itertools.product(PROBLEMS, sorted({row["key"][1] for row in kept})):
        scores = {way: [row["score"] for row in kept if row["key"][:3] == [name, steps, way]] for way in ways_of(name)}
        if all(len(each) > 1 for each in scores.values()):
            shown = [shown_of(scores[way]) if way in scores else "as Trainer" for way in ("blurr", "Trainer", "script")]
            score = f"{PROBLEMS[name].score}{' (lower is better)' if PROBLEMS[name].lower else ''}"
            own, *others = scores.values()
            rows.append([name, score, str(steps), *shown, verdict(name, own, others)])
    return rows


def shown_of(scores: Sequence[float]) -> str:
    """Show mean and standard error."""
    return f"{statistics.fmean(scores):.3f} ± {statistics.stdev(scores) / math.sqrt(len(scores)):.3f}"


def main() -> None:
    """Measure what is asked for and not kept yet, and print the table of all that is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with one folder for each row of the table")
    parser.add_argument("--model", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--only", default=",".join(PROBLEMS), help="data sets to measure; '' prints what is kept")
    parser.add_argument("--steps", default="50,150")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--words", default="", help="train by blurr alone, with these words on its command line")
    parser.add_argument("--kept", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()
    names = list(filter(None, given.only.split(",")))
    steps, seeds = ([int(each) for each in text.split(",")] for text in (given.steps, given.seeds))
    kept: Kept = json.loads(given.kept.read_text()) if given.kept.is_file() else []
    be_quiet()
    for count, seed, name in itertools.product(steps, seeds, names):
        for line in measure((given.data, given.model), kept, name, given.words, steps=count, seed=seed):
            given.kept.write_text("[\n" + ",\n".join(json.dumps(row) for row in kept) + "\n]\n")
            show(line)
    show(f"{machine()}\n\n{markdown(HEADER, table(kept))}")


def be_quiet() -> None:
    """Let no library speak between the lines of the measurement."""
    warnings.filterwarnings("ignore")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()


if __name__ == "__main__":
    main()
