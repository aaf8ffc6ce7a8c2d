"""Files of many rows: their rows stay on the disk, and what is read, told and refused is the same."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from blurr.data.distinct import Distinct
from blurr.data.files import load_files
from blurr.data.formats import delimited, many_records, spooled, tables
from blurr.data.formats.content import FileOptions, SourceFile
from blurr.data.formats.json_rows import stream_json_lines
from blurr.errors import InputError
from blurr.process.setup import cache_root
from blurr.text.modeling.all import Chat
from blurr.text.sequence_classification.task import SequenceClassification

ROWS = [{"text": f"a film of {i} hours,\nit said", "label": ["good", "bad"][i % 2], "n": i} for i in range(2500)]
SCHEMA = SequenceClassification().row_schema()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every file is large, and so is every block of it."""
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(spooled, "LARGE", 1)
    monkeypatch.setattr(delimited, "BLOCK", 4096)


@pytest.fixture(params=["csv", "tsv", "parquet", "jsonl"])
def file(request, tmp_path: Path) -> Path:
    path, frame = tmp_path / f"rows.{request.param}", pd.DataFrame(ROWS)
    if request.param == "parquet":
        frame.to_parquet(path)
    elif request.param == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    return path


def read(path: Path):
    return load_files(SCHEMA, train=str(path))


def test_a_large_file_has_the_rows_of_a_small_one(file: Path, monkeypatch, tmp_path: Path, request):
    empty = pa.total_allocated_bytes()
    small = read(file)
    taken = pa.total_allocated_bytes() - empty
    request.getfixturevalue("large")
    before = pa.total_allocated_bytes()
    found = read(file)
    assert pa.total_allocated_bytes() - before < taken - sum(len(row["text"]) for row in ROWS) / 2
    assert found.fingerprint == small.fingerprint
    assert found.train.to_list() == small.train.to_list()
    assert list(cache_root().glob(f"{spooled.SPOOL}/*")) == []  # the rows stay readable, and leave nothing behind


@pytest.mark.usefixtures("large")
def test_where_the_cache_cannot_be_written_rows_stay_in_memory(file: Path, tmp_path: Path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(read(file).train) + len(read(file).valid) == len(ROWS)
    assert "kept in memory, because the cache cannot be written" in caplog.text


@pytest.mark.parametrize("broken", ["refuse", "drop"])
def test_chats_of_a_large_file_are_those_of_a_small_one(broken: str, tmp_path: Path, monkeypatch, request):
    rows = [{"prompt": f"hello {i}", "answer": "hi", "system": "be kind" if i > 9 else None, "n": i} for i in range(40)]
    rows += [{"prompt": "", "answer": "", "system": None, "n": 40}] if broken == "drop" else []
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    small = load_files(Chat().row_schema(), train=str(path), broken=broken)
    request.getfixturevalue("large")
    monkeypatch.setattr(many_records, "ROWS", 3)
    large = load_files(Chat().row_schema(), train=str(path), broken=broken)
    assert large.fingerprint == small.fingerprint
    assert {name: part.to_list() for name, part in large.splits.items()} == {
        name: part.to_list() for name, part in small.splits.items()
    }
    assert large.broken == small.broken


@pytest.mark.usefixtures("large")
def test_a_broken_row_of_a_large_file_is_named(tmp_path: Path):
    lines = [f"{i},good" for i in range(2000)]
    lines[1500] += ",more"
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    with pytest.raises(InputError, match="Line 1502 has 3 cells where the header has 2"):
        read(tmp_path / "rows.csv")


VARIED: list[list[dict]] = [
    [{"a": 1}, {"a": 2.5, "b": "new"}, {"b": None}],
    [{"a": {"x": 1}}, {"a": {"y": [None]}}, {"a": {"y": [{"z": "deep"}]}}],
    [{"a": 1}, {"a": "of several types"}, {"a": [2]}],
    [{"a": 2**60 + 1}, {"a": 0.5}],
    [{"a": "half \ud800"}],
    [{}, {"a": 1}],
]


@pytest.mark.parametrize("rows", VARIED, ids=["numbers", "objects", "texts", "precision", "unicode", "empty"])
@pytest.mark.usefixtures("large")
def test_columns_that_change_from_block_to_block_are_those_of_all_rows_at_once(rows: list, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(many_records, "ROWS", 1)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    source = SourceFile(path, "rows.jsonl", "jsonl", FileOptions())
    at_once = said(lambda: tables.records(stream_json_lines(source), str(source)))
    assert said(lambda: many_records.records_of(source, lambda: stream_json_lines(source))) == at_once


def said(read: Callable[[], pa.Table]) -> object:
    try:
        table = read()
    except InputError as error:
        return str(error)
    return table.schema, table.to_pylist()


@pytest.mark.parametrize("values", [["a", "b", None, "a"], [2, 1, 2, None], [0.5, float("nan"), 0.5, -0.0], [[1], [1]]])
def test_distinct_values_are_those_of_the_rows(values: list):
    rows = tables.as_rows([{"x": value} for value in values], "here")
    found = Distinct.of(rows, "x")
    assert found.array(rows.features["x"]).to_pylist() == rows.data.column("x").to_pylist() or "nan" in repr(values)
    assert repr([found.values[code] for code in found.codes]) == repr(rows["x"][:])
    assert [row for row, _ in found.firsts()] == sorted(
        {values.index(value) + 1 for value in values} | ({2} if isinstance(values[0], list) else set())
    )
