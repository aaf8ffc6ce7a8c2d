"""What is probably not meant in rows is said aloud, with a remedy."""

from typing import Any

import datasets
import numpy as np
import pytest

from blurr.data.at_hand import from_data
from blurr.data.doubts import SKETCHED, from_sketch, look_at, met, seen_in, sketch
from blurr.text.language_modeling.causal_lm import CausalLM
from blurr.text.sequence_classification.task import SequenceClassification

TASK = SequenceClassification()


def rows_of(*texts: str) -> list[dict[str, Any]]:
    return [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]


def said(caplog, train: list[dict[str, Any]], valid: list[dict[str, Any]] | None = None, task: Any = TASK) -> str:
    with caplog.at_level("WARNING", logger="blurr"):
        look_at(from_data(task.row_schema(), train, valid=valid), task.schema)
    return caplog.text


def test_validation_rows_that_are_trained_on_are_counted(caplog) -> None:
    found = said(caplog, rows_of("one", "two", "three"), rows_of("two", "four"))
    assert "1 of 2 rows of list (valid) have the inputs of rows that are trained on. A remedy: take them out" in found


def test_all_validation_rows_are_asked_for_whatever_the_number_of_training_rows() -> None:
    """Where as many rows were trained on as a run keeps keys of, rows with higher keys were left out of the count."""
    train, valid = (datasets.Dataset.from_dict({"text": [f"{name} {i}" for i in range(SKETCHED)]}) for name in "ab")
    assert met(valid, TASK.schema, seen_in(train, TASK.schema)) == (0, SKETCHED)


def test_millions_of_rows_are_not_compared(monkeypatch) -> None:
    monkeypatch.setattr("blurr.data.doubts.MOST_COMPARED", 2)
    two, three = (datasets.Dataset.from_dict({"text": ["a", "b", "c"][:n]}) for n in (2, 3))
    assert (len(seen_in(two, TASK.schema)), len(seen_in(three, TASK.schema))) == (2, 0)


def test_drawn_rows_are_not_spoken_of(caplog) -> None:
    assert said(caplog, rows_of(*(f"text {i % 20}" for i in range(40)))) == ""


def test_empty_texts_are_counted(caplog) -> None:
    found = said(caplog, rows_of("one", " ", "", "two"), rows_of("three", "four"))
    assert "2 of 4 rows of list (train) have an empty text. A remedy: take these rows out" in found


def test_blank_lines_of_a_text_are_not_spoken_of(caplog) -> None:
    lines = [{"text": text} for text in ("one", "", "two", "")]
    assert said(caplog, lines, [{"text": "three"}], CausalLM()) == ""


@pytest.mark.parametrize(
    ("names", "is_said"),
    [(["train"] * 6 + ["dev"] * 4, True), (["train"] * 10, False), (["train", "other"] * 5, False)],
    ids=["splits", "one name", "something else"],
)
def test_a_column_that_names_splits_and_is_not_followed_is_said(names: list[str], is_said: bool, caplog) -> None:
    rows = [{**row, "part": name} for row, name in zip(rows_of(*map(str, range(10))), names, strict=True)]
    found = "the column 'part' names dev and train, and validation rows are drawn at random" in said(caplog, rows)
    assert found == is_said
    assert ("data.splits.by=column data.splits.column=part" in caplog.text) == is_said


def test_the_keys_that_a_run_keeps_tell_known_rows_among_many() -> None:
    texts = [f"text {i}" for i in range(3 * SKETCHED)]
    some, others = (datasets.Dataset.from_dict({"text": each}) for each in (texts[: 2 * SKETCHED], texts[SKETCHED:]))
    kept = from_sketch(sketch(seen_in(some, TASK.schema)))
    assert len(kept) == SKETCHED
    found, of = met(others, TASK.schema, kept, is_part=True)
    assert 0 < of < len(others)
    assert found / of == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(from_sketch(sketch(kept[:3])), kept[:3])
