"""Sample data: seeded, varied, in time, and with nothing of validation in training."""

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from blurr.data.core import Schema
from blurr.data.samples import load_samples
from blurr.errors import InputError
from blurr.text.seq2seq.samples import NAMES, TOPICS, meeting_notes
from blurr.text.sequence_classification.samples import BAD, CITIES, DAYS, GOOD, reviews

REVIEWS = Schema(required=("text", "label"), optional=("text_pair",), label="label", sample=reviews)
NOTES = Schema(required=("text", "summary"), optional=(), label=None, sample=meeting_notes)
BOTH = pytest.mark.parametrize("schema", [REVIEWS, NOTES], ids=["reviews", "meeting_notes"])


@BOTH
def test_b16_training_and_validation_share_no_generated_row(schema: Schema) -> None:
    raw = load_samples(schema)
    assert not set(raw.train["text"]) & set(raw.valid["text"])
    assert len(set(raw.train["text"])) == raw.train.num_rows


@BOTH
def test_the_seed_decides_the_rows(schema: Schema) -> None:
    assert load_samples(schema, seed=1).fingerprint == load_samples(schema, seed=1).fingerprint
    assert load_samples(schema, seed=1).fingerprint != load_samples(schema, seed=2).fingerprint


def test_rows_and_shares_are_as_asked_for() -> None:
    raw = load_samples(REVIEWS, rows=50, valid=0.1)
    assert (raw.train.num_rows, raw.valid.num_rows, raw.source) == (45, 5, "sample")
    assert load_samples(REVIEWS, rows=50, limit=7).train.num_rows == 7


def test_no_sentiment_is_in_the_majority() -> None:
    counts = Counter(load_samples(REVIEWS).train["label"])
    assert set(counts) == {"negative", "positive"}
    assert max(counts.values()) / counts.total() < 0.55


def test_the_sentiment_is_not_that_of_a_single_word() -> None:
    """A vote of the good and bad words in the text, the best a lookup table can do, must stay far from right."""
    rows = load_samples(REVIEWS)
    right = 0
    for text, label in zip(rows.train["text"], rows.train["label"], strict=True):
        words = re.findall(r"\w+", text)
        vote = sum(word in GOOD for word in words) - sum(word in BAD for word in words)
        right += (vote > 0) == (label == "positive")
    assert right / rows.train.num_rows < 0.8


def test_notes_and_summaries_are_of_the_promised_length() -> None:
    raw = load_samples(NOTES)
    lengths = {role: [len(text.split()) for text in raw.train[role]] for role in ("text", "summary")}
    assert 40 <= min(lengths["text"]) <= max(lengths["text"]) <= 100
    assert 6 <= min(lengths["summary"]) <= max(lengths["summary"]) <= 15


def test_a_summary_says_what_the_notes_say() -> None:
    for row in load_samples(NOTES, rows=200).train:
        facts = re.fullmatch(r"(\w+) will (\w+) the (\w+) in (\w+) by (\w+)\.", row["summary"])
        assert facts is not None
        assert all(re.search(rf"\b{fact}\b", row["text"]) for fact in facts.groups())


def test_every_note_holds_other_facts_of_the_same_kinds_than_the_summary() -> None:
    for row in load_samples(NOTES, rows=200).train:
        facts = {*NAMES, *CITIES, *DAYS, *TOPICS}
        notes, summary = (set(re.findall(r"\w+", row[role])) for role in ("text", "summary"))
        assert len(facts & notes - summary) >= 2


def two_rows(rng: random.Random) -> dict[str, Any]:
    return {"text": rng.choice("ab"), "label": rng.choice("xy")}


WRONG: dict[str, tuple[Callable[[random.Random], dict[str, Any]], dict[str, Any], str]] = {
    "too many": (two_rows, {"rows": 3}, "has only about 2 different rows; lower data.rows=3"),
    "no validation": (
        reviews,
        {"rows": 10, "valid": 0.0},
        "data.rows=10 with data.valid=0.0 leaves 10 rows for training",
    ),
    "no training": (reviews, {"rows": 10, "valid": 1.0}, "leaves 0 rows for training"),
    "wrong column": (reviews, {"columns": {"label": "lable"}}, r"has no column 'lable' .* Did you mean 'label'\?"),
}


@pytest.mark.parametrize(("sample", "knobs", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_sample_that_cannot_be_is_answered(sample: Any, knobs: dict[str, Any], message: str) -> None:
    schema = Schema(required=("text", "label"), optional=(), label="label", sample=sample)
    with pytest.raises(InputError, match=message):
        load_samples(schema, **knobs)
