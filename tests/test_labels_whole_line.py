"""Labels go the whole line as they are written: file, config, predictions, evaluation on another format, report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from running import run
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score

from blurr.config import composing
from blurr.config.objectives import fitted_to_rows
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.plan import plan
from blurr.report.classes import confusion, per_class
from blurr.runs.jsonlines import read_lines
from blurr.serve.evaluating import evaluate
from blurr.serve.predictor import Predictor
from blurr.text.modeling.all import BlearnerForSequenceClassification, SequenceClassification

LABELS = [
    "007",
    "1.10",
    "1.1",
    "1e3",
    "0x1A",
    "12345678901234567890",
    "true",
    "NA",
    "null",
    "-1",
    "2024-01-31",
    "é & ü",
]
WORDS = ["good", "great", "fine", "superb", "bad", "awful", "poor", "dull"]
QUICK = ("tracking=none", "report=false", "schedule.epochs=1", "loader.batch_size=16", "loader.cache=false")


def rows_of(labels: list[Any], n: int) -> list[dict[str, Any]]:
    texts = [f"the film was {WORDS[i % 8]}" + " and a plot" * (i % 3) for i in range(n)]
    return [{"text": text, "label": labels[i % len(labels)]} for i, text in enumerate(texts)]


def trained(work: Path, checkpoint: Path, rows: list[dict[str, Any]], *words: str) -> Path:
    """Train on a csv file, and return the folder of the run."""
    pd.DataFrame(rows).to_csv(work / "rows.csv", index=False)
    model = ("model=auto", f"model.name={checkpoint}", "model.weights=pretrained")
    files = ("data=files", "data.train=rows.csv", "data.valid=rows.csv")
    run(work / "run", *model, *files, *QUICK, *words)
    return work / "run"


def id2label(folder: Path) -> list[str]:
    return list(json.loads((folder / "model" / "config.json").read_text())["id2label"].values())


def test_classes_are_in_every_place_what_the_file_says(work: Path, tiny_bert: Path):
    rows = rows_of(LABELS, 24)
    folder = trained(work, tiny_bert, rows)
    assert id2label(folder) == sorted(LABELS)
    predicted = read_lines(folder / "predictions.jsonl")
    assert [(row["label"], row["target"]) for row in predicted] == [(row["label"], row["label"]) for row in rows]
    assert {row["prediction"] for row in predicted} <= set(LABELS)
    assert set(per_class(predicted)["class"]) <= set(LABELS)
    assert set(LABELS) <= set(confusion(predicted).index)
    scores = json.loads((folder / "metrics.json").read_text())
    true, guess = ([row[key] for row in predicted] for key in ("target", "prediction"))
    assert scores["valid/accuracy"] == pytest.approx(accuracy_score(true, guess))

    predictor = Predictor.load(folder)
    assert predictor.predict("the film was good")[0]["label"] in LABELS
    pd.DataFrame(rows).to_parquet(work / "rows.parquet")
    _, found = evaluate(predictor, ["data=files", "data.test=rows.parquet"])
    assert [row["target"] for row in found.rows] == true
    assert found.metrics["accuracy"] == pytest.approx(scores["valid/accuracy"])


def test_whole_numbers_of_every_source_are_one_label(work: Path, tiny_bert: Path):
    folder = trained(work, tiny_bert, rows_of([3, 10, 2], 12))
    assert id2label(folder) == ["2", "3", "10"]
    predictor = Predictor.load(folder)
    pd.DataFrame(rows_of([3.0, 10.0, 2.0], 12)).to_parquet(work / "rows.parquet")
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of([3, 10, 2], 12)))
    for name in ("rows.parquet", "rows.jsonl"):
        _, found = evaluate(predictor, ["data=files", f"data.test={name}"])
        assert [row["target"] for row in found.rows] == ["3", "10", "2"] * 4


def test_a_label_that_the_model_lacks_is_no_index(work: Path, tiny_bert: Path):
    predictor = Predictor.load(trained(work, tiny_bert, rows_of([1, 2, 3], 12)))
    pd.DataFrame(rows_of([0, 1, 2, 9], 12)).to_csv(work / "new.csv", index=False)
    words = ["data=files", "data.test=new.csv"]
    with pytest.raises(
        InputError, match=r"has 2 labels, '0', '9', which the model does not know: in .*There are '1', '2', '3'"
    ):
        evaluate(predictor, words)
    _, found = evaluate(predictor, [*words, "data.unknown_labels=drop"])
    assert [row["target"] for row in found.rows] == ["1", "2"] * 3


def test_several_labels_in_one_text_go_the_whole_line(work: Path, tiny_bert: Path):
    lists = [[name, LABELS[(i + 1) % 12]] for i, name in enumerate(LABELS)]
    folder = trained(work, tiny_bert, rows_of(["|".join(names) for names in lists], 12), "task.label_separator='|'")
    assert id2label(folder) == sorted(LABELS)
    predicted = read_lines(folder / "predictions.jsonl")
    assert [sorted(row["target"]) for row in predicted] == [sorted(names) for names in lists]
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(lists, 12)))
    _, found = evaluate(Predictor.load(folder), ["data=files", "data.test=rows.jsonl"])
    assert [row["target"] for row in found.rows] == [row["target"] for row in predicted]


def test_tags_go_the_whole_line(work: Path, tiny_bert: Path):
    tags = ["O", *(f"{mark}-{label}" for label in LABELS[:11] for mark in "BI")]
    text = "\n\n".join("\n".join(f"film\t{tag}" for tag in tags) for _ in range(3)) + "\n"
    (work / "tags.conll").write_text(text)
    words = ("task=token_classification", "model=auto", f"model.name={tiny_bert}", "model.weights=pretrained")
    run(work / "run", *words, "data=files", "data.train=tags.conll", "data.valid=tags.conll", *QUICK)
    assert sorted(id2label(work / "run")) == sorted(tags)
    assert [row["target"] for row in read_lines(work / "run" / "predictions.jsonl")] == [tags] * 3
    rows = [{"tokens": ["film"] * len(tags), "labels": tags}, {"tokens": ["film"], "labels": ["B-new"]}]
    pd.DataFrame(rows).to_parquet(work / "tags.parquet")
    predictor = Predictor.load(work / "run")
    with pytest.raises(InputError, match="the label 'B-new', which the model does not know: in 1 of the 2"):
        evaluate(predictor, ["data=files", "data.test=tags.parquet"])
    _, found = evaluate(predictor, ["data=files", "data.test=tags.parquet", "data.unknown_labels=drop"])
    assert [row["target"] for row in found.rows] == [tags]


# -- numbers


NUMBERS = ["0.1", "1", "2.25", "3.3", "1e-3", "12345678.9"]


def test_numbers_bring_their_metrics_and_keep_their_digits(work: Path, tiny_bert: Path, caplog):
    with caplog.at_level("INFO", logger="blurr"):
        folder = trained(work, tiny_bert, rows_of(NUMBERS[:5], 20))
    assert "Metrics: pearson, spearman; objective: valid/pearson. Regression, since all 40 labels" in caplog.text
    rows = read_lines(folder / "predictions.jsonl")
    assert [row["target"] for row in rows] == [float(label) for label in NUMBERS[:5]] * 4
    scores = json.loads((folder / "metrics.json").read_text())
    true, guess = (np.array([row[key] for row in rows]) for key in ("target", "prediction"))
    assert scores["valid/pearson"] == pytest.approx(pearsonr(true, guess)[0], abs=1e-6)
    assert scores["valid/spearman"] == pytest.approx(spearmanr(true, guess)[0], abs=1e-6)
    pd.DataFrame(rows_of([float(label) for label in NUMBERS[:5]], 20)).to_parquet(work / "rows.parquet")
    _, found = evaluate(Predictor.load(folder), ["data=files", "data.test=rows.parquet"])
    assert found.metrics["pearson"] == pytest.approx(scores["valid/pearson"])
    assert [row["target"] for row in found.rows] == list(true)


def test_a_large_number_to_predict_is_scored_as_it_is_written(tiny_bert: Path):
    frame = pd.DataFrame(rows_of([float(label) for label in NUMBERS], 12)).assign(is_valid=[i > 5 for i in range(12)])
    learn = BlearnerForSequenceClassification.from_data(frame, tiny_bert)
    assert [metric.name for metric in learn.metrics] == ["pearson", "spearman"]
    learn.remove_cbs([learn.progress])
    with learn.no_logging():
        learn.fit(1)
    assert learn.interpreter(learn, learn.dls.valid)[5]["target"] == 12345678.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["metrics=[accuracy,f1]"],
            r"metrics: accuracy, f1 cannot score numbers, .*regression, since all 24 labels .*These fit: pearson",
        ),
        (["objective=valid/f1"], "objective=valid/f1 cannot score numbers, .*Leave objective out for valid/pearson"),
    ],
    ids=["metrics", "objective"],
)
def test_what_cannot_score_numbers_is_refused_before_training(words, message, work: Path, tiny_bert: Path):
    with pytest.raises(InputError, match=message):
        trained(work, tiny_bert, rows_of(["0.5", "1"], 12), *words)
    assert not (work / "run" / "model").exists()


def test_a_trial_whose_sweep_compares_another_objective_is_refused(work: Path):
    rows = rows_of([0.5, 1.0], 12)
    task = SequenceClassification()
    raw = from_data(task.row_schema(), rows, valid=rows)
    with pytest.raises(InputError, match="say task.kind=regression, or objective=valid/pearson"):
        fitted_to_rows(composing.compose([]), task.target.predicted(raw), [], raw.kind, raw.reason, is_trial=True)
    cfg = composing.compose(["objective=valid/pearson"])
    fit = fitted_to_rows(cfg, task.target.predicted(raw), [], raw.kind, raw.reason, is_trial=True)
    assert list(fit.metrics) == ["pearson", "spearman"]


def facts(*words: str) -> dict[str, dict[str, str]]:
    given = ["data=files", "data.train=rows.csv", "model.weights=scratch", *words]
    return {title: dict(found) for title, found in plan(composing.compose(given), given).items()}


def test_the_plan_says_what_the_labels_are_taken_for(work: Path):
    pd.DataFrame(rows_of([0.5, 1.0, 2.0], 12)).to_csv("rows.csv", index=False)
    labels = facts()["labels"]
    assert labels["kind"].startswith("regression: all 12 labels are numbers, and 4 of them, such as 0.5, not whole")
    assert labels["metrics"] == "pearson, spearman; the objective is valid/pearson"
    assert labels["train"].startswith("0.5 to 2, mean ")
    assert facts("task.kind=multiclass")["labels"]["kind"] == "multiclass: task.kind=multiclass"
