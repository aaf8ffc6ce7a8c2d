"""SQuAD's nested json becomes one row per question."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from blurr.data.core import Schema
from blurr.data.files import load_files
from blurr.data.formats.content import FileOptions
from blurr.data.readers import read_files
from blurr.data.samples import load_samples
from blurr.data.splits import Splits
from blurr.errors import InputError
from blurr.text.question_answering.samples import questions

SCHEMA = Schema(
    required=("question", "context", "answers"),
    optional=("answer_start",),
    label="answers",
    sample=questions,
    blank=("answers", "answer_start"),
)


def asked(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "question": f"What is {number}?",
        "answers": [{"text": "one", "answer_start": 4}],
        **more,
    }


def squad(titles: int = 1, paragraphs: int = 1, qas: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    paragraph = {"context": "The one.", "qas": [asked(0), asked(1)] if qas is None else qas}
    return {
        "version": "1.1",
        "data": [{"title": f"t{i}", "paragraphs": [paragraph] * paragraphs} for i in range(titles)],
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["squad.json", "squad.txt"], ids=["recognised", "named by format"])
def test_every_question_is_a_row_with_its_title_and_context(tmp_path: Path, name: str) -> None:
    options = FileOptions(format="squad" if name.endswith("txt") else "auto")
    rows = read_files(write(tmp_path / name, squad(titles=2, paragraphs=3)), options)
    assert rows.num_rows == 2 * 3 * 2
    assert rows[0] == {
        "id": "q0",
        "title": "t0",
        "context": "The one.",
        "question": "What is 0?",
        "answers": {"text": ["one"], "answer_start": [4]},
    }


def test_a_question_of_version_2_may_have_no_answer(tmp_path: Path) -> None:
    qas = [asked(0, is_impossible=False), asked(1, is_impossible=True, answers=[], plausible_answers=[])]
    rows = read_files(write(tmp_path / "v2.json", squad(qas=qas)), FileOptions())
    assert rows["answers"][:] == [{"text": ["one"], "answer_start": [4]}, {"text": [], "answer_start": []}]
    assert rows["is_impossible"][:] == [False, True]


def test_questions_get_the_ids_that_their_file_lacks(tmp_path: Path) -> None:
    qas = [{name: value for name, value in asked(i).items() if name != "id"} for i in range(3)]
    assert read_files(write(tmp_path / "v1.json", squad(qas=qas)), FileOptions())["id"][:] == ["0", "1", "2"]


def test_an_impossible_question_needs_no_answers_and_plausible_ones_are_none(tmp_path: Path) -> None:
    plausible = [{"text": "one", "answer_start": 4}]
    qas = [
        asked(0),
        {"id": "a", "question": "?", "is_impossible": True, "plausible_answers": plausible},
        asked(2, is_impossible=True, answers=plausible),
        asked(3, answers=[{"text": "", "answer_start": 0}]),
    ]
    rows = read_files(write(tmp_path / "v2.json", squad(qas=qas)), FileOptions())
    assert [answers["text"] for answers in rows["answers"]] == [["one"], [], [], []]
    assert rows["is_impossible"][:] == [False, True, True, False]


PARAGRAPHS = [{"context": f"The one {i}.", "qas": [asked(2 * i), asked(2 * i + 1)]} for i in range(3)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.json", json.dumps(PARAGRAPHS)),
        ("rows.json", json.dumps({"data": PARAGRAPHS})),
        ("rows.json", json.dumps([{"title": "", "paragraphs": PARAGRAPHS}])),
        ("rows.jsonl", "".join(json.dumps(paragraph) + "\n" for paragraph in PARAGRAPHS)),
        ("rows.jsonl", json.dumps(PARAGRAPHS)),
    ],
    ids=["a list", "data", "titles", "lines", "a list under the name of lines"],
)
def test_paragraphs_with_questions_are_read_however_they_are_wrapped(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    rows = read_files(tmp_path / name, FileOptions())
    assert rows["id"][:] == [f"q{i}" for i in range(6)]
    assert rows["context"][:] == [f"The one {i // 2}." for i in range(6)]
    assert rows["answers"][5] == {"text": ["one"], "answer_start": [4]}


def test_lines_with_a_header_and_answers_that_are_texts_are_read(tmp_path: Path) -> None:
    lines = [{"header": {"dataset": "d"}}, {"context": "The one.", "qas": [asked(0, answers=["one", "The"])]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read_files(tmp_path / "rows.jsonl", FileOptions())
    assert rows["answers"][:] == [{"text": ["one", "The"], "answer_start": [None, None]}]


def test_several_true_answers_are_all_kept(tmp_path: Path) -> None:
    answers = [{"text": "one", "answer_start": 4}, {"text": "The one", "answer_start": 0}]
    rows = read_files(write(tmp_path / "v1.json", squad(qas=[asked(0, answers=answers)])), FileOptions())
    assert rows["answers"][0] == {"text": ["one", "The one"], "answer_start": [4, 0]}


def test_titles_do_not_part_when_the_split_goes_by_group(tmp_path: Path) -> None:
    path = write(tmp_path / "v1.json", squad(titles=10))
    raw = load_files(SCHEMA, train=path, splits=Splits(by="group", column="title", valid=0.3))
    assert (raw.train.num_rows, raw.valid.num_rows) == (14, 6)
    assert not set(raw.train["title"]) & set(raw.valid["title"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"question": "?"}], "is not laid out as SQuAD"),
        (squad(qas=[asked(0), {"id": "q1", "question": "?"}]), r"lacks 'answers' in or after question 2"),
        (squad(qas=[asked(0, answers=[{"answer": "one"}])]), r"lacks 'text' in or after question 1"),
        ({"data": [{"paragraphs": [{"qas": [asked(0)]}]}]}, r"lacks 'context' in or after question 1"),
    ],
    ids=["a list of rows", "no answers", "no text", "no context"],
)
def test_what_is_no_squad_is_answered(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_files(write(tmp_path / "rows.json", content), FileOptions(format="squad"))


def test_json_with_a_list_of_rows_is_still_read_as_such(tmp_path: Path) -> None:
    rows = read_files(write(tmp_path / "rows.json", {"data": [{"text": "a"}, {"text": "b"}]}), FileOptions())
    assert rows["text"][:] == ["a", "b"]


def test_a_row_may_leave_a_blank_role_empty_and_numbers_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,context,answers,answer_start\n" + "Who?,Agent 007,007,6\nWhen?,Agent 007,,\n" * 5)
    raw = load_files(SCHEMA, train=path, splits=Splits(by="index", index=[8, 9]))
    assert raw.valid["answers"][:] == ["007", ""]
    assert raw.valid["answer_start"][:] == ["6", ""]


# -- sample data


def test_a_sample_answer_stands_where_it_says_and_often_elsewhere_too() -> None:
    rows = [questions(random.Random(seed)) for seed in range(400)]
    for row in rows:
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text
    assert sum(row["context"].count(row["answers"]["text"][0]) > 1 for row in rows) > 10


def test_b16_training_and_validation_share_no_generated_question() -> None:
    raw = load_samples(SCHEMA, rows=500)
    assert not set(raw.train["context"]) & set(raw.valid["context"])
    assert load_samples(SCHEMA, rows=50, seed=1).fingerprint == load_samples(SCHEMA, rows=50, seed=1).fingerprint
