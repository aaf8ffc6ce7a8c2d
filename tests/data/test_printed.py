"""Lists and dicts that stand printed in the cells of a table are read, and nothing in them is run."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from blurr.data.files import load_files
from blurr.data.formats.printed import NotPrintedError, read_printed, with_lists
from blurr.errors import InputError
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.token_classification.task import TokenClassification

TOKENS = [["Anna", "it's", 'a "b"', f"x, {i}]"] for i in range(12)]
TAGS = [["B-PER", "O", "O", "B-LOC"] for _ in TOKENS]

READ: dict[str, Any] = {
    '["a", "it\'s"]': ["a", "it's"],
    "['a', \"it's\"]": ["a", "it's"],
    "('a',)": ["a"],
    "[]": [],
    " [1, 0]\n": [1, 0],
    "[1 0 1]": [1, 0, 1],
    "[ 0.5  -1e-05]": [0.5, -1e-05],
    "['a' 'b c'\n \"it's\"]": ["a", "b c", "it's"],
    "[nan, 1]": [None, 1],
    "[NaN, null]": [None, None],
    "[True False]": [True, False],
    "array(['a', 'b'], dtype=object)": ["a", "b"],
    "[np.str_('a'), np.int64(3)]": ["a", 3],
    "{'text': array(['a'], dtype=object), 'answer_start': array([3])}": {"text": ["a"], "answer_start": [3]},
    '{"text": ["a"], "answer_start": [3]}': {"text": ["a"], "answer_start": [3]},
    "[{'text': 'a', 'answer_start': 3}]": [{"text": "a", "answer_start": 3}],
}


@pytest.mark.parametrize("text", READ)
def test_a_printed_list_is_read(text: str):
    assert read_printed(text) == READ[text]


@pytest.mark.parametrize("n", [1, 3, 200])
def test_what_numpy_prints_is_read(n: int):
    words = np.array(["it's", 'say "a"', "x y", "[", "a\nb"] * n)
    assert read_printed(str(words)) == words.tolist()
    assert read_printed(repr(words)) == words.tolist()
    assert read_printed(str(list(words))) == words.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "[O B-PER]",
        "[a]",
        "['a' 'b', 'c']",
        "['a', 'b'",
        "[1] a",
        "{1, 2}",
        "[b'a']",
        "[1 2 ... 9]",
        "[__import__('os').getcwd()]",
        "[open('f')]",
        "[1 for _ in ()]",
        "[" * 5000,
        "[" + "-" * 50_000 + "1]",
    ],
    ids=lambda text: text[:20],
)
def test_anything_else_is_refused_and_not_run(text: str):
    with pytest.raises(NotPrintedError):
        read_printed(text)


PRINTED = {"json": json.dumps, "python": str, "numpy": lambda row: str(np.array(row))}


@pytest.mark.parametrize("how", PRINTED)
def test_words_and_tags_of_a_table_are_lists(how: str, work: Path):
    show = PRINTED[how]
    frame = pd.DataFrame({"words": list(map(show, TOKENS)), "tags": list(map(show, TAGS))})
    frame.to_csv("rows.csv", index=False, sep=";")
    raw = load_files(
        TokenClassification.schema, train="rows.csv", valid="rows.csv", columns={"tokens": "words", "labels": "tags"}
    )
    assert raw.train["tokens"][:] == TOKENS
    assert raw.train["labels"][:] == TAGS


ANSWERS = [{"text": ["Anna"], "answer_start": [0]} if i % 3 else {"text": [], "answer_start": []} for i in range(9)]


def as_list(answers: dict[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(answers["text"], answers["answer_start"], strict=True)
    return [{"text": text, "answer_start": start} for text, start in pairs]


AS_CELLS = {
    "dicts": lambda answers: answers,
    "dicts of arrays": lambda answers: {name: np.array(values) for name, values in answers.items()},
    "lists of dicts": as_list,
}


@pytest.mark.parametrize("how", AS_CELLS)
def test_answers_of_a_table_are_read(how: str, work: Path):
    rows = {"context": ["Anna lives here"] * 9, "question": [f"who {i}?" for i in range(9)]}
    pd.DataFrame({**rows, "answers": list(map(AS_CELLS[how], ANSWERS))}).to_csv("rows.csv", index=False)
    raw = load_files(QuestionAnswering.schema, train="rows.csv", valid="rows.csv")
    assert raw.train["answers"][:] == (list(map(as_list, ANSWERS)) if how == "lists of dicts" else ANSWERS)


def test_a_cell_that_is_no_list_is_named_with_its_row():
    rows = datasets.Dataset.from_dict({"tokens": ["['a', 'b']", "['a' 'b', 'c']"]})
    with pytest.raises(InputError, match=r"rows: row 2 .* has no list of 'tokens' but .*follow each other without a"):
        with_lists(rows, ["tokens"], [], "rows")


def test_texts_that_only_look_like_lists_stay_texts():
    rows = datasets.Dataset.from_dict({"label": ["[sic]", "[1]"], "answers": ["['a']", "b"]})
    assert with_lists(rows, [], ["label", "answers"], "rows").to_dict() == rows.to_dict()


def test_lists_of_several_types_are_refused():
    rows = datasets.Dataset.from_dict({"labels": ["[1]", "['a']"]})
    with pytest.raises(InputError, match="lists of several types in the column 'labels'"):
        with_lists(rows, ["labels"], [], "rows")
