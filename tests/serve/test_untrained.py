"""A checkpoint that no run of blurr has left is scored and served as it is, where it has the head of the task."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from checkpoints import stored_in, with_habit
from every_task import TASKS, items_of, rows_of
from sklearn.metrics import accuracy_score

from blurr import cli
from blurr.config import composing
from blurr.errors import InputError
from blurr.runs.jsonlines import read_lines
from blurr.serve.evaluating import evaluate
from blurr.serve.model_folder import model_folder
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import FILE

SETTINGS: dict[str, list[str]] = {
    "token_classification": ["task.max_length=9", "task.stride=2"],
    "question_answering": ["task.max_length=12", "task.stride=3"],
    "summarization": ["task.generation.max_new_tokens=4"],
    "translation": ["task.generation.max_new_tokens=4"],
    "causal_lm": ["task.chunk=false", "task.generation.max_new_tokens=4"],
    "chat": ["task.generation.max_new_tokens=4"],
    "masked_lm": ["task.chunk=false"],
}


@pytest.fixture
def bare(saved, tmp_path: Path):
    """A model's folder, as transformers alone would have written it."""

    def make(name: str) -> tuple[Any, Path]:
        learn, folder = saved(name)
        learn.model.hf_model.save_pretrained(tmp_path / name)
        learn.dls.tokenizer.save_pretrained(tmp_path / name)
        assert not (tmp_path / name / FILE).exists()
        return learn, tmp_path / name

    return make


@pytest.fixture
def in_process(work: Path, monkeypatch):
    """Call a command here, as a shell does."""
    monkeypatch.setattr(composing, "prepare_process", lambda: None)

    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["blurr", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return int(done.value.code or 0)

    return call


@pytest.mark.parametrize("name", list(TASKS))
def test_a_checkpoint_predicts_as_the_learner_that_it_is_of(name: str, bare, caplog):
    learn, folder = bare(name)
    words = [f"task={name}", *SETTINGS.get(name, [])]
    with caplog.at_level(logging.WARNING):
        predictor = Predictor.load(folder, words=words, device="cpu")
    assert f"has no {FILE}: it is used as it is, untrained by blurr, for task={name}." in caplog.text
    items = items_of(name, 3)
    one, two = predictor.predict(items), learn.predict(items)
    assert json.dumps(one, default=_rounded) == json.dumps(two, default=_rounded) or _close(one, two)


def _rounded(value: Any) -> Any:
    return round(float(value), 4)


def _close(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_close(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(_close(a, b) for a, b in zip(one, two, strict=True))
    return one == pytest.approx(two, abs=1e-4) if isinstance(one, float) else bool(one == two)


def test_the_baseline_before_any_step_is_scored(bare, in_process, work: Path, capsys):
    _, folder = bare("sequence_classification")
    rows = pd.DataFrame(rows_of("sequence_classification"))[["text", "label"]]
    rows.to_csv(work / "new.csv", index=False)
    words = ["task=sequence_classification", "data=files", "data.test=new.csv", "metrics=[accuracy]"]
    assert in_process("evaluate", str(folder), *words, "--output", "scores") == 0
    given = read_lines(work / "scores" / "predictions.jsonl")
    scores = json.loads((work / "scores" / "metrics.json").read_text())
    assert [row["text"] for row in given] == rows["text"].tolist()
    assert scores["test/accuracy"] == accuracy_score(rows["label"], [row["prediction"] for row in given])
    assert "test/accuracy" in capsys.readouterr().out


def test_a_task_may_be_named_before_or_after_the_flags(bare, in_process, work: Path):
    _, folder = bare("sequence_classification")
    (work / "in.csv").write_text("text\nthe film was good\n")
    files = ("--input", "in.csv", "--output", "out.jsonl")
    assert in_process("predict", str(folder), "task=sequence_classification", *files) == 0
    before = (work / "out.jsonl").read_text()
    assert in_process("predict", str(folder), *files, "task=sequence_classification") == 0
    assert (work / "out.jsonl").read_text() == before
    assert in_process("predict", str(folder), *files, "nonsense") == 2


def test_a_checkpoint_without_the_head_of_the_task_is_refused(tiny_bert: Path):
    with pytest.raises(InputError, match=r"lacks qa_outputs\.bias, qa_outputs\.weight.*would be random"):
        Predictor.load(tiny_bert, words=["task=question_answering"])


def test_without_a_task_the_message_says_how_to_name_one(tiny_bert: Path):
    with pytest.raises(InputError, match=rf"has no file {FILE}.*name the task .*task=sequence_classification"):
        model_folder(tiny_bert)


def test_a_trained_model_takes_no_words(saved, in_process, work: Path, capsys):
    (work / "in.csv").write_text("text\nthe film was good\n")
    folder = str(saved("sequence_classification")[1])
    assert in_process("predict", folder, "task=masked_lm", "--input", "in.csv", "--output", "out.csv") == 2
    assert "knows its task and its settings. Leave out task=masked_lm" in capsys.readouterr().err


def test_what_is_not_there_is_said(work: Path):
    with pytest.raises(InputError, match=r"'nobody/nothing' is neither a local folder"):
        Predictor.load("nobody/nothing", words=["task=masked_lm"])


def test_settings_of_the_checkpoint_are_checked_and_used(tiny_bert: Path, tmp_path: Path):
    folder = with_habit(tiny_bert, tmp_path / "ck", stored_in(torch.float16))
    words = ["task=sequence_classification"]
    assert Predictor.load(folder, words=words, device="cpu").hf.model.dtype.itemsize == 4
    assert Predictor.load(folder, words=[*words, "model.dtype=stored"], device="cpu").hf.model.dtype.itemsize == 2
    with pytest.raises(InputError, match=r"task\.max_length=500 is more than the model can read"):
        Predictor.load(folder, words=[*words, "task.max_length=500"])


def test_labels_without_names_can_be_named(tiny_bert: Path, work: Path):
    words = ["task=sequence_classification", "+model.config_kwargs.id2label={0: down, 1: up}"]
    predictor = Predictor.load(tiny_bert, words=words, device="cpu")
    pd.DataFrame(rows_of("sequence_classification"))[["text", "label"]].to_csv(work / "new.csv", index=False)
    _, found = evaluate(predictor, [*words, "data=files", "data.test=new.csv"])
    assert {row["prediction"] for row in found.rows} <= {"down", "up"}


def test_questions_without_an_answer_are_those_of_the_data(bare, work: Path):
    _, folder = bare("question_answering")
    rows = [{"question": "it was", "context": "the film was good", "answers": {"text": [], "answer_start": []}}] * 3
    (work / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["task=question_answering", "task.max_length=12", "task.stride=3"]
    predictor = Predictor.load(folder, words=words, device="cpu")
    assert predictor.learner.spans.no_answer is False
    _, found = evaluate(predictor, [*words, "data=files", "data.test=new.jsonl"])
    assert [row["target"] for row in found.rows] == [[], [], []]
