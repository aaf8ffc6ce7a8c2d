"""Rows that are encoded a few at a time, so that memory holds a few, are those that come of all at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_task import TASKS, loaded, objects_of, rows_of

from blurr.data.at_hand import from_data
from blurr.loading.columns import Ragged
from blurr.tasks import base, encoding
from blurr.tasks.encoding import encoded_rows, ingredients_of
from blurr.text.modeling.all import CausalLM, MaskedLM

JOINED = {
    "joined_texts": CausalLM(block_size=12),
    "joined_without_a_separator": CausalLM(block_size=5, separator=""),
    "joined_and_hidden": MaskedLM(block_size=12),
    "hidden_words": MaskedLM(block_size=7, objective="whole_word", separator=""),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "cache"))


def plain(columns: dict[str, Any]) -> dict[str, list[Any]]:
    made = {name: [np.asarray(value) for value in column] for name, column in columns.items()}
    if "words" in made:  # which say no more than where a word begins, and what is none
        made["words"] = [np.stack([row < 0, np.diff(row, prepend=-1) != 0]) for row in made["words"]]
    return {name: [value.tolist() for value in column] for name, column in made.items()}


def in_parts_and_at_once(task, raw, hf, monkeypatch, *, rows: int) -> None:
    whole = encoded_rows(task, raw, "train", hf, ingredients=None)
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", rows)
    known = ingredients_of(task, raw, hf)
    for found in [encoded_rows(task, raw, "train", hf, ingredients=each) for each in (None, known, known)]:
        assert plain(found.columns) == plain(whole.columns)
        for name, column in whole.columns.items():
            one, other = (
                (each.flat, each.offsets) if isinstance(each, Ragged) else (each,)
                for each in (column, found.columns[name])
            )
            assert [values.dtype for values in one] == [values.dtype for values in other]


@pytest.mark.parametrize("rows", [1, 3, 10], ids=["one", "three", "all"])
@pytest.mark.parametrize("name", TASKS)
def test_every_task_makes_the_same_rows(name: str, rows: int, tiny_bert: Path, tiny_bart: Path, monkeypatch):
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    in_parts_and_at_once(TASKS[name], raw, hf, monkeypatch, rows=rows)


@pytest.mark.parametrize("name", TASKS)
def test_several_processes_make_the_same_rows(name: str, tiny_bert: Path, tiny_bart: Path, monkeypatch):
    monkeypatch.setattr(base, "WORTH_PROCESSES", 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    in_parts_and_at_once(TASKS[name], raw, hf, monkeypatch, rows=3)


@pytest.mark.parametrize("rows", [1, 3, 7], ids=["one", "three", "seven"])
@pytest.mark.parametrize("task", JOINED.values(), ids=JOINED)
def test_joined_texts_are_cut_where_all_of_them_would_be(task, rows: int, tiny_bert: Path, monkeypatch):
    texts = rows_of("causal_lm")
    for blank in (0, 4, 5, 6):
        texts[blank] = {**texts[blank], "text": " "}
    raw = from_data(task.schema, texts)
    in_parts_and_at_once(task, raw, loaded(task, raw, tiny_bert), monkeypatch, rows=rows)


def test_packed_rows_hold_every_text_once(tiny_bert: Path, monkeypatch):
    task = CausalLM(block_size=16, packing=True)
    raw = from_data(task.schema, rows_of("causal_lm"))
    hf = loaded(task, raw, tiny_bert)
    whole = encoded_rows(task, raw, "train", hf, ingredients=None)
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", 3)
    parts = encoded_rows(task, raw, "train", hf, ingredients=None)
    assert texts_in(parts.columns) == texts_in(whole.columns)


def texts_in(columns: dict[str, Any]) -> list[list[int]]:
    rows = zip(columns["input_ids"], columns["packed"], strict=True)
    return sorted(ids[packed == number].tolist() for ids, packed in rows for number in range(1, packed.max() + 1))
