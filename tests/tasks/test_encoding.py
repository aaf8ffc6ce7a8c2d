"""A split is tokenized once: the next run takes it from the disk, unless something that it is made of has changed."""

from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.loading import cache
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects
from blurr.tasks.encoding import encoded_rows, ingredients_of
from blurr.text.objects import get_hf_objects
from blurr.text.sequence_classification.task import SequenceClassification

ROWS = [{"text": f"a {label} film{' and' * i}", "label": label} for i in range(5) for label in ("good", "bad")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hf(tiny_bert: Path) -> HFObjects:
    names = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    return get_hf_objects(tiny_bert, AutoModelForSequenceClassification, config_kwargs=names)


def rows_of(texts: list[dict]) -> RawData:
    return from_data(SequenceClassification.schema, texts)


def made_again(task: SequenceClassification, raw: RawData, hf, *, split: str = "train") -> bool:
    before = len(cache.entries())
    encoded_rows(task, raw, split, hf, ingredients=ingredients_of(task, raw, hf))
    return len(cache.entries()) > before


def test_a_second_run_takes_the_rows_of_the_first(hf):
    task, raw = SequenceClassification(), rows_of(ROWS)
    first = encoded_rows(task, raw, "train", hf, ingredients=ingredients_of(task, raw, hf))
    again = rows_of(ROWS)
    second = encoded_rows(task, again, "train", hf, ingredients=ingredients_of(task, again, hf))
    assert len(cache.entries()) == 1
    plain = encoded_rows(task, raw, "train", hf, ingredients=None)
    for rows in (first, second):
        assert [ids.tolist() for ids in rows.columns["input_ids"]] == [i.tolist() for i in plain.columns["input_ids"]]
        assert rows.vocab == plain.vocab


def test_a_call_that_padded_or_cut_in_between_changes_nothing(hf):
    task, raw = SequenceClassification(), rows_of(ROWS)
    assert made_again(task, raw, hf)
    hf.tokenizer(["a film", "a"], padding="max_length", max_length=9, truncation=True)
    assert not made_again(task, raw, hf)


@pytest.mark.parametrize("what", ["rows", "split", "setting", "tokenizer", "labels"])
def test_whatever_the_rows_are_made_of_changes_the_key(hf, what: str):
    task, raw = SequenceClassification(), rows_of(ROWS)
    assert made_again(task, raw, hf)
    if what == "rows":
        raw = rows_of([*ROWS[:-1], {"text": "a bad film", "label": "bad"}])
    elif what == "setting":
        task = SequenceClassification(max_length=4)
    elif what == "tokenizer":
        hf.tokenizer.add_tokens(["plot twist"])
    elif what == "labels":
        hf.config.id2label = {0: "good", 1: "bad"}
    assert made_again(task, raw, hf, split="valid" if what == "split" else "train")


def test_nothing_is_kept_where_the_loader_says_so(hf):
    SequenceClassification().dataloaders(rows_of(ROWS), hf, Loader(cache=False))
    assert cache.entries() == []
