"""Run every task of conf/task, and check what it left: `python -m benchmarks.tasks --data FOLDER [--only TASK]`.

FOLDER holds public data, one folder for each of the data sets named below. Everything runs from scratch in processes of
their own with one thread, and in folders that are thrown away.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from omegaconf import OmegaConf

from benchmarks.commands import Finished, line, markdown, run, show
from benchmarks.predictions import FIELDS, CheckError, check_export, check_predictions, items_of, stage
from blurr.config import paths
from blurr.config.building import build
from blurr.data.core import RawData
from blurr.models.objects import build_model
from blurr.tasks.base import Task
from blurr.training.learner import Blearner

NEAR = 1e-5  # by which a number may differ, see `check_export`
HEADER = ["task", "sample data learns", "real data", "predict", "export and load", "MLflow"]
REAL = {  # there is none for the other tasks
    "audio_classification": "voices data.train=clips.csv data.columns.label=language data.splits.by=column "
    "data.splits.column=split",
    "causal_lm": "wiki103 data.train=sample.csv",
    "image_classification": "fashion_mnist data.train=train.parquet data.valid=test.parquet",
    "masked_lm": "wiki103 data.train=sample.csv",
    "question_answering": "xquad data.train=xquad.en.json data.splits.by=group data.splits.column=title",
    "sequence_classification": "sst2 data.train=train.tsv data.valid=dev.tsv data.columns.text=sentence",
    "speech_recognition": "librivox data.train=clips.csv",
    "summarization": "dialogsum data.train=dev.jsonl data.columns.text=dialogue",
    "token_classification": "wnut17 data.train=train.conll data.valid=dev.conll",
    "translation": "multi30k data.train=train.jsonl data.valid=val.jsonl data.columns.source=translation.de "
    "data.columns.target=translation.en",
}


def learns(done: Finished) -> str:
    """Say what the loss of the validation rows is, which must be well below where training began."""
    start = [row["train/loss"] for row in done.rows("metrics.jsonl") if "train/loss" in row][:5]
    before, after = sum(start) / len(start), done.metrics["valid/loss"]
    if after > 0.9 * before:
        raise CheckError(f"loss {before:.3g} → {after:.3g}")
    return f"loss {before:.3g} → {after:.3g}"


def on_real_data(task: str, data: Path, folder: Path) -> str:
    """Train for an epoch on a part of public data."""
    name, *words = REAL[task].split()
    common = [f"task={task}", "model.weights=scratch", "tracking=none", "schedule.epochs=1", "data.limit=60"]
    done = run([*common, "data=files", *words], folder=folder / "real", start=data / name)
    rows = done.rows("predictions.jsonl")
    return f"{name}, {len(rows)} rows predicted"


def restored(done: Finished) -> tuple[Task, RawData, Blearner]:
    """Make a learner of the model folder that a run left, and refuse it where it does not score as the run did.

    Raises:
        CheckError: its loss is another.
    """
    cfg = OmegaConf.load(done.folder / "config.yaml")
    task: Task = build(cfg.task)
    raw: RawData = build(cfg.data, schema=task.schema)
    model = str(done.folder / "model")
    options = {"config": task.target.model_config(raw), "corpus": tuple, "load_weights": True, "weights": "pretrained"}
    hf = build_model(model, model_cls=task.model_cls, **options, inputs=task.inputs)
    learner = task.learner(task.dataloaders(raw, hf, build(cfg.loader)), hf, raw=raw, metrics={})
    loss, wanted = task.evaluate(learner, raw).metrics["loss"], done.metrics["valid/loss"]
    if abs(loss - wanted) > 1e-4 * wanted:
        raise CheckError(f"the model folder has a loss of {loss}, the run {wanted}")
    return task, raw, learner


def recorded(done: Finished, uri: str) -> str:
    """Compare what MLflow has with what the output folder has.

    Raises:
        CheckError: names what MLflow lacks.
    """
    client = MlflowClient(tracking_uri=uri)
    (found,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    artifacts = {each.path for each in client.list_artifacts(found.info.run_id)}
    lacking = {"config.yaml", "metrics.json", "model"} - artifacts
    if found.info.status != "FINISHED" or lacking or not done.metrics.items() <= found.data.metrics.items():
        raise CheckError(f"{found.info.status}, without {sorted(lacking)}")
    return f"{len(found.data.metrics)} metrics, {len(found.data.params)} params"


def examine(task_name: str, data: Path, rows: int) -> list[str]:
    """Make the row of a task: `yes` and what was seen, or `no` and why."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"sqlite:///{folder}/mlflow.db"
        words = [f"task={task_name}", "model.weights=scratch", f"tracking.uri={uri}", f"data.rows={rows}"]
        done = run(words, folder=folder / "out")
        task, raw, learner = restored(done)
        items = items_of(task_name, task, raw, learner.dls.tokenizer)[:8]

        def predicts() -> str:
            return json.dumps(check_predictions(learner, items[:1], FIELDS.get(task_name, set()))[0])[:60]

        def exports() -> str:
            check_export(learner, items, learner.predict(items), folder, NEAR)
            return "the same predictions"

        def real() -> str:
            return on_real_data(task_name, data, folder)

        steps: list[Callable[[], str]] = [
            lambda: learns(done),
            real,
            predicts,
            exports,
            lambda: recorded(done, uri),
        ]
        cells = [_cell(step) if step is not real or task_name in REAL else "–" for step in steps]
        return [task_name, *cells]


def _cell(step: Callable[[], str]) -> str:
    try:
        with stage("failed"):
            return f"yes: {step()}"
    except CheckError as e:
        return f"**no**: {e}"


def main() -> None:
    """Print the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public data")
    parser.add_argument("--only", default=",".join(paths.options("task")), help="tasks, separated by commas")
    parser.add_argument("--rows", type=int, default=1200, help="generated rows to learn from")
    given = parser.parse_args()
    show(markdown(HEADER, []))
    for task in given.only.split(","):
        show(line(examine(task, given.data.resolve(), given.rows)))


if __name__ == "__main__":
    main()
