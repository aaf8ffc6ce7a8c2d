"""A trained model is scored on other rows by the metrics of its run."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from every_task import TASKS, learner_of, save_model
from fastai.losses import FocalLossFlat

from blurr.data.doubts import seen_in, sketch
from blurr.errors import InputError
from blurr.metrics.classification import Accuracy
from blurr.runs.jsonlines import read_lines
from blurr.serve.evaluating import composed, evaluate, kept_metrics, write
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import SavedTask, load_task, save_task

METRICS = {"accuracy": {"_target_": "blurr.metrics.classification.Accuracy"}}
CHOICES = {"task": "sequence_classification", "data": "files"}


@pytest.fixture(scope="module")
def learn(tiny_bert: Path, tiny_bart: Path):
    return learner_of("sequence_classification", tiny_bert, tiny_bart)


@pytest.fixture(scope="module")
def predictor(learn, tmp_path_factory) -> Predictor:
    facts = {"choices": CHOICES, "metrics": METRICS, "columns": {"text": "review", "label": "stars", "text_pair": None}}
    folder = save_model(
        learn[0], TASKS["sequence_classification"], tmp_path_factory.mktemp("scored") / "model", **facts
    )
    return Predictor.load(folder, batch_size=4)


@pytest.fixture
def rows(learn, work: Path) -> Path:
    """The validation rows of the run, as a file."""
    valid = learn[1].valid.to_pandas()[["text", "label"]]
    valid.rename(columns={"text": "review", "label": "stars"}).to_csv(work / "new.csv", index=False)
    return work / "new.csv"


def test_the_rows_of_the_run_get_the_scores_of_the_run(learn, predictor: Predictor, rows: Path):
    split, found = evaluate(predictor, ["data=files", f"data.test={rows}"])
    learner, raw = learn
    expected = TASKS["sequence_classification"].evaluate(learner, raw)
    assert split == "test"
    assert found.metrics["loss"] == pytest.approx(expected.metrics["loss"], abs=1e-5)
    assert set(found.metrics) == {"loss", "accuracy"}
    assert [row["prediction"] for row in found.rows] == [row["prediction"] for row in expected.rows]
    right = [row["prediction"] == row["target"] for row in found.rows]
    assert found.metrics["accuracy"] == pytest.approx(sum(right) / len(right))


def test_rows_that_the_model_was_trained_on_are_counted(learn, predictor: Predictor, rows: Path, request, caplog):
    """The scores of such rows looked like those of new ones."""
    assert predictor.folder is not None
    facts = predictor.folder.parent / "facts.json"
    request.addfinalizer(lambda: facts.unlink(missing_ok=True))
    for known, found in ((learn[1].valid, len(learn[1].valid)), (learn[1].valid.select(range(1)), 1)):
        facts.write_text(json.dumps({"seen": sketch(seen_in(known, predictor.saved.task.schema))}))
        evaluate(predictor, ["data=files", f"data.test={rows}"])
        assert f"the model was trained on {found} of {len(learn[1].valid)} rows of {rows} (test)" in caplog.text
    caplog.clear()
    facts.write_text(json.dumps({"seen": ""}))  # that of an earlier version says nothing of them
    evaluate(predictor, ["data=files", f"data.test={rows}"])
    assert "trained on" not in caplog.text


def test_a_loss_of_the_users_own_is_said_to_be_another(predictor: Predictor, rows: Path, tmp_path: Path, caplog):
    """The loss that is printed was taken for the one that the run printed under the same name."""
    saved = replace(predictor.saved, task=replace(predictor.saved.task, loss=FocalLossFlat(gamma=2)))  # type: ignore[call-arg]
    save_task(tmp_path, saved)
    kept = load_task(tmp_path)
    assert kept.own_loss == "FocalLossFlat"
    save_task(tmp_path, kept)  # as an export does
    known, predictor.saved = predictor.saved, load_task(tmp_path)
    evaluate(predictor, ["data=files", f"data.test={rows}"])
    predictor.saved = known
    assert "The loss here is the task's own, not the run's FocalLossFlat" in caplog.text


def test_metrics_and_split_can_be_chosen(predictor: Predictor, rows: Path):
    words = ["data=files", f"data.valid={rows}", "metrics=[f1,matthews]"]
    split, found = evaluate(predictor, words, split="train")
    assert split == "train"
    assert set(found.metrics) == {"loss", "f1", "matthews"}
    with pytest.raises(InputError, match=r"--split tets: .* has the splits \['train', 'valid'\]"):
        evaluate(predictor, words, split="tets")


def test_columns_of_other_data_are_their_own(predictor: Predictor, rows: Path):
    frame = pd.read_csv(rows).rename(columns={"review": "body"})
    frame.to_csv(rows, index=False)
    _, found = evaluate(predictor, ["data=files", f"data.test={rows}", "data.columns.text=body"])
    assert len(found.rows) == len(frame)
    cfg = composed(predictor.saved, ["data=sample"])
    assert cfg.data.columns.text == "text"


def test_rows_must_be_named(predictor: Predictor, work: Path):
    with pytest.raises(InputError, match="Say which rows to score the model on"):
        evaluate(predictor, ["data=files"])
    with pytest.raises(InputError, match="no.csv: there is no such file"):
        evaluate(predictor, ["data=files", "data.test=no.csv"])


@pytest.mark.parametrize("target", ["os.system", "blurr.loading.cache.prune", "blurr.metrics.classification.os.system"])
def test_a_model_folder_cannot_say_which_code_runs(target: str):
    saved = SavedTask(TASKS["masked_lm"], metrics={"m": {"parts": [{"_target_": target}]}})
    with pytest.raises(InputError, match="not among what a file may have blurr make. Name the metrics"):
        kept_metrics(saved)


def test_scores_rows_and_reports_are_written(predictor: Predictor, rows: Path, work: Path):
    split, found = evaluate(predictor, ["data=files", f"data.test={rows}"])
    write(work / "scores", split, found, {"entities.txt": "a table"})
    assert json.loads((work / "scores" / "metrics.json").read_text())["test/accuracy"] == found.metrics["accuracy"]
    assert len(read_lines(work / "scores" / "predictions.jsonl")) == len(found.rows)
    assert (work / "scores" / "test_entities.txt").read_text() == "a table"


def test_metrics_are_made_anew_of_their_config():
    assert kept_metrics(SavedTask(TASKS["masked_lm"], metrics=METRICS)) == METRICS
    assert METRICS["accuracy"]["_target_"].endswith(Accuracy.__name__)
