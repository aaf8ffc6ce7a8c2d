"""The columns of the user's data survive beside what blurr says of each row, in every task and behind every door."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from every_task import TASKS, learner_of

from blurr.data.core import Schema, raw_data
from blurr.data.roles import FIELDS, beside, free_name, own_column
from blurr.metrics.rows import WorstGroup
from blurr.report.losses import slices
from blurr.runs.jsonlines import read_lines, to_json

ODD = "a\u2028b\u2029c\x85d\x0ce\x0bf\x1cg\r\nh"


def test_a_column_with_a_name_of_blurrs_gets_a_prefix():
    given = [{"text": "a", "score": 7, "source_score": 8, "domain": "x"}, {"text": "b", "score": 9}]
    found = beside(given, [{"target": 1, "score": 0.5}, {"target": 2}], ("text",))
    assert found == [
        {"text": "a", "source_source_score": 7, "source_score": 8, "domain": "x", "target": 1, "score": 0.5},
        {"text": "b", "source_source_score": 9, "target": 2},
    ]


def test_a_field_that_only_a_task_of_ones_own_adds_overwrites_nothing():
    assert beside([{"text": "a", "margin": 1}], [{"margin": 2}], ("text",)) == [
        {"text": "a", "source_margin": 1, "margin": 2}
    ]


def test_a_role_is_no_column_of_the_users():
    assert beside([{"text": "a"}], [{"text": "decoded"}], ("text",)) == [{"text": "decoded"}]


def test_a_free_name_is_found_behind_taken_ones():
    assert free_name("a", {"b"}) == "a"
    assert free_name("a", {"a", "source_a"}) == "source_source_a"


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_column_of_the_data_is_in_the_described_rows(task: str, tiny_bert: Path, tiny_bart: Path):
    learn, raw = learner_of(task, tiny_bert, tiny_bart)
    own = {name: [f"{name} {i}{ODD}" for i in range(raw.valid.num_rows)] for name in sorted(FIELDS - {"target"})}
    valid = raw.valid
    for name, values in own.items():
        valid = valid.add_column(name, values)
    rows = TASKS[task].evaluate(learn, replace(raw, splits=datasets.DatasetDict(raw.splits, valid=valid))).rows
    for name, values in own.items():
        assert [row[f"source_{name}"] for row in rows] == values
    assert all({"prediction", "loss", "token_count"} <= row.keys() for row in rows)
    assert all(type(row["loss"]) is float for row in rows)


def test_the_worst_group_is_of_the_users_column():
    rows = beside(
        [{"score": "x"}, {"score": "y"}],
        [{"target": 1, "prediction": 1, "score": 0.5}, {"target": 1, "prediction": 2, "score": 0.5}],
        ("text",),
    )
    assert WorstGroup("score").score(rows) == 0
    assert own_column({"score": 1}, "score") == "score"


def test_the_report_slices_by_the_users_columns():
    given = [{"text": str(i), "score": "xy"[i % 2]} for i in range(20)]
    told = [
        {"target": "a", "prediction": "a", "loss": float(i % 2), "score": 0.5, "probs": {"a": 1.0}} for i in range(20)
    ]
    assert list(slices(beside(given, told, ("text",)))["slice"]) == ["source_score = y", "source_score = x"]


def test_a_column_in_the_way_of_a_role_gets_a_name_that_is_free():
    schema = Schema(
        required=("text", "label"), optional=(), label="label", sample=lambda rng: {"text": "a", "label": "b"}
    )
    rows = datasets.Dataset.from_list(
        [{"review": f"r{i}", "text": "t", "source_text": "s", "label": "ab"[i % 2]} for i in range(8)]
    )
    raw = raw_data({"train": rows, "valid": rows}, schema, columns={"text": "review"}, source="rows")
    assert raw.valid[1] == {"text": "r1", "source_source_text": "t", "source_text": "s", "label": "b"}


def test_a_line_of_json_ends_at_a_line_feed_alone(tmp_path: Path):
    rows: list[dict[str, Any]] = [{"text": ODD}, {"text": "next"}]
    (tmp_path / "rows.jsonl").write_text("".join(f"{to_json(row)}\n" for row in rows), encoding="utf-8")
    assert read_lines(tmp_path / "rows.jsonl") == rows
