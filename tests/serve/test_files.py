"""Files of rows go in and come out with predictions, whatever their format, and bad rows are named."""

import csv
import gzip
import json
import re
import resource
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from every_task import TASKS, items_of

from blurr.data.formats.content import FileOptions
from blurr.data.readers import read_files, stream_files
from blurr.data.sources import find_files
from blurr.errors import InputError, ResourceError
from blurr.serve.converting import check_target, convert
from blurr.serve.files import predict_file
from blurr.serve.predictor import Predictor
from blurr.serve.typed import items_of as typed_items
from blurr.tasks.saved import with_found
from blurr.text.sequence_classification.task import SequenceClassification

TEXTS = ["the film was good", "it is bad, a\n“plot”", "the plot was and"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format of the suffix."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """Read rows with their predictions."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def stream(path: Path, **options: Any) -> list[Any]:
    """Read a file row by row."""
    return list(stream_files(find_files(path, FileOptions(**options))))


@pytest.fixture(scope="module")
def predictor(saved) -> Predictor:
    return Predictor.load(saved("sequence_classification")[1], batch_size=2)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_keep_their_columns_and_get_a_prediction(suffix: str, predictor: Predictor, tmp_path: Path):
    rows = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    target = tmp_path / "new" / f"out{suffix}"
    outcome = predict_file(predictor, write(tmp_path / f"in{suffix}", rows), target)
    assert (outcome.rows, outcome.failed) == (3, 0)
    expected = predictor.predict(TEXTS)
    if suffix == ".csv":
        found = read(target)
        assert [row["text"] for row in found] == TEXTS
        assert [row["prediction.label"] for row in found] == [result["label"] for result in expected]
        assert json.loads(found[0]["prediction.class_labels"]) == expected[0]["class_labels"]
    else:
        assert [{"id": row["id"], "text": row["text"]} for row in read(target)] == rows
        assert [row["prediction"]["label"] for row in read(target)] == [result["label"] for result in expected]
        assert [row["prediction"]["score"] for row in read(target)] == pytest.approx([r["score"] for r in expected])
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("name", sorted(TASKS))
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_results_of_every_task_fit_into_a_file(name: str, suffix: str, saved, tmp_path: Path):
    predictor = Predictor.load(saved(name)[1])
    items = items_of(name, 3)
    target = tmp_path / f"out{suffix}"
    predict_file(predictor, write(tmp_path / "in.jsonl", items), target)
    assert len(read(target)) == 3


def test_columns_are_those_of_training_or_named_by_role(predictor: Predictor, tmp_path: Path, monkeypatch):
    source, target = write(tmp_path / "in.csv", [{"review": text} for text in TEXTS]), tmp_path / "out.jsonl"
    with pytest.raises(InputError, match=r"has no column 'text' with the text. It has \['review'\]; .* --column text="):
        predict_file(predictor, source, target)
    assert not list(tmp_path.glob("out*"))
    assert predict_file(predictor, source, target, columns={"text": "review"}).failed == 0
    monkeypatch.setattr(
        predictor, "saved", type(predictor.saved)(predictor.saved.task, {"text": "review", "label": ["a"]})
    )
    assert predict_file(predictor, source, target).failed == 0


def test_a_bad_row_is_named_and_the_others_are_predicted_on(predictor: Predictor, tmp_path: Path):
    source = tmp_path / "in.jsonl"
    lines = ['{"text": "good"}', "{oops", "", '{"text": null}', "[1]", '{"text": "bad"}']
    source.write_text("\n".join(lines))
    outcome = predict_file(predictor, source, tmp_path / "out.csv")
    assert (outcome.rows, outcome.failed) == (5, 3)
    assert outcome.named[2].startswith("Line 2 is not JSON: Expecting property name enclosed in double quotes at ch")
    assert "needs a text under 'text'" in outcome.named[3]
    assert outcome.named[4] == "Line 5 is a list. Each line must be an object."
    found = read(tmp_path / "out.csv")
    assert [bool(row["prediction.label"]) for row in found] == [True, False, False, False, True]
    assert [bool(row["error"]) for row in found] == [False, True, True, True, False]


def test_a_row_of_a_csv_with_too_many_values_is_named(predictor: Predictor, tmp_path: Path):
    (tmp_path / "in.csv").write_text("text,n\ngood,1\nbad,2,3\n")
    outcome = predict_file(predictor, tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert outcome.named[2].startswith("Line 3 has 3 cells where the header has 2: 'bad,2,3'. Correct the line")
    assert list(outcome.named) == [2]


def test_pairs_and_single_texts_may_stand_in_one_file(predictor: Predictor, tmp_path: Path):
    rows = [{"text": "good", "text_pair": "bad"}, {"text": "good", "text_pair": None}]
    predict_file(predictor, write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")
    scores = [row["prediction"]["probs"] for row in read(tmp_path / "out.jsonl")]
    alone = [predictor.predict(item)[0]["probs"] for item in (("good", "bad"), "good")]
    assert scores[0] == pytest.approx(alone[0])
    assert scores[1] == pytest.approx(alone[1])


def test_a_model_of_pairs_is_not_given_single_texts(predictor: Predictor, tmp_path: Path, monkeypatch):
    """It answered for the first text alone, and said nothing."""
    columns = {"text": "text", "text_pair": "other"}
    monkeypatch.setattr(predictor, "saved", replace(predictor.saved, columns=columns))
    source = write(tmp_path / "in.csv", [{"text": "good"}])
    with pytest.raises(InputError, match="no column 'other' with the text_pair.*--column text_pair="):
        predict_file(predictor, source, tmp_path / "out.csv")
    source = write(tmp_path / "in.csv", [{"text": "good", "text_pair": "bad"}])
    assert predict_file(predictor, source, tmp_path / "out.csv").failed == 0
    with pytest.raises(InputError, match="This model reads text and text_pair. Name each: --text text=…"):
        typed_items(["good"], predictor)
    for item in ("good", {"text": "good"}):
        with pytest.raises(InputError, match=r"trained on rows with 'text_pair', and an item has 'text' alone\. Give"):
            predictor.predict(item)
        (refused, answer) = predictor.predict_each([item, {"text": "good", "text_pair": None}])
        assert isinstance(refused, InputError)
        assert answer["label"] == predictor.predict({"text": "good", "text_pair": None})[0]["label"]


def test_an_optional_column_under_its_own_name_is_among_those_of_training():
    rows = Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": ["c"]})
    schema = SequenceClassification.schema
    assert with_found({"text": "t", "text_pair": None}, rows, schema) == {"text": "t", "text_pair": "text_pair"}
    assert with_found({"text_pair": "p"}, rows, schema) == {"text_pair": "p"}
    assert with_found({}, rows.remove_columns("text_pair"), schema) == {}


@pytest.mark.parametrize(
    ("columns", "can_be_scored"),
    [
        ({}, True),
        ({"label": "verdict"}, False),
        ({"label": ["label"]}, True),
        ({"label": ["label", "x"]}, False),
    ],
    ids=str,
)
def test_rows_can_be_scored_if_they_have_what_was_learned(
    predictor: Predictor, tmp_path: Path, monkeypatch, columns, can_be_scored
):
    monkeypatch.setattr(predictor, "saved", replace(predictor.saved, columns=columns))
    source = write(tmp_path / "in.jsonl", [{"text": "good", "label": "up"}])
    assert predict_file(predictor, source, tmp_path / "out.jsonl").can_be_scored == can_be_scored


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(predictor: Predictor, tmp_path: Path):
    def peak(n: int) -> int:
        source = write(tmp_path / f"{n}.jsonl", [{"text": "the film was good", "note": "x" * 20_000}] * n)
        tracemalloc.start()
        assert predict_file(predictor, source, tmp_path / "out.jsonl").rows == n
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(640) < 1.5 * peak(128)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_converted(suffix: str, tmp_path: Path):
    def peak(n: int) -> int:
        part = write(tmp_path / "part.jsonl", [{"text": "x" * 2000, "prediction": {"label": "a"}}] * n)
        tracemalloc.start()
        convert(part, tmp_path / f"out{suffix}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(8000) < 1.5 * peak(2000)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.csv", "There is no file .*no.csv. Did you mean 'on.csv'"),
        ("in.xlsx", "in.xlsx cannot be read as an Excel file"),
        ("in.pdf", "of no known format"),
        ("in.parquet", "is not a parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, message: str, predictor: Predictor, tmp_path: Path):
    for there in ("on.csv", "in.xlsx", "in.pdf", "in.parquet"):
        (tmp_path / there).write_text("text\ngood\n")
    with pytest.raises(InputError, match=message):
        predict_file(predictor, tmp_path / name, tmp_path / "out.csv")


def test_the_format_to_write_is_checked_before_anything_is_predicted(predictor: Predictor, tmp_path: Path):
    with pytest.raises(InputError, match="out.txt is of no known format"):
        predict_file(predictor, tmp_path / "in.csv", tmp_path / "out.txt")
    with pytest.raises(InputError, match="There is no option 'treshold'. Did you mean 'threshold'"):
        predict_file(predictor, tmp_path / "in.csv", tmp_path / "out.csv", options={"treshold": 1})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_of_the_names_of_the_results_are_kept_beside_them(suffix: str, predictor: Predictor, tmp_path: Path):
    own = {"prediction": "p\u2028p", "error": "e", "prediction.label": "l", "source_error": "s"}
    source = write(tmp_path / f"in{suffix}", [{"text": text, **own} for text in TEXTS])
    predict_file(predictor, source, tmp_path / f"out{suffix}")
    found = read(tmp_path / f"out{suffix}")
    kept = {
        "prediction": "source_prediction",
        "error": "source_source_error",
        "prediction.label": "source_prediction.label",
    }
    for name, value in own.items():
        assert [row[kept.get(name, name)] for row in found] == [value] * 3
    predicted = [row["prediction.label"] if suffix == ".csv" else row["prediction"]["label"] for row in found]
    assert predicted == [result["label"] for result in predictor.predict(TEXTS)]


def test_a_file_with_predictions_can_be_predicted_on_again(predictor: Predictor, tmp_path: Path):
    source = write(tmp_path / "in.csv", [{"text": text} for text in TEXTS])
    for place in ("once", "twice", "thrice"):
        target = tmp_path / f"{place}.csv"
        predict_file(predictor, source, target)
        source = target
    labels = [row["prediction.label"] for row in read(target)]
    assert [row["source_prediction.label"] for row in read(target)] == labels
    assert [row["source_source_prediction.label"] for row in read(target)] == labels


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path):
    (tmp_path / "in.csv").write_bytes(b"text\ngut\nsch\xf6n\n")
    with pytest.raises(InputError, match="not encoded in utf-8-sig: byte 0xf6 in line 3"):
        stream(tmp_path / "in.csv")


def test_an_encoding_that_is_named_is_read(tmp_path: Path):
    (tmp_path / "in.csv").write_bytes("text\nschön\u2028ja\n".encode("utf-16"))
    assert stream(tmp_path / "in.csv", encoding="utf-16") == [{"text": "schön\u2028ja"}]
    with pytest.raises(InputError, match=r"utf-99 \(--encoding\) is not an encoding"):
        stream(tmp_path / "in.csv", encoding="utf-99")


@pytest.mark.parametrize(
    ("name", "content"),
    {
        "commas": ("in.csv", b"id,text\n7,a; b\n8,c\n"),
        "semicolons": ("in.csv", b"id;text\n7;a; b\n8;c\n".replace(b"a; b", b'"a; b"')),
        "tabs under another name": ("in.csv", b"id\ttext\n7\ta; b\n8\tc\n"),
        "commas under another name": ("in.tsv", b"id,text\n7,a; b\n8,c\n"),
        "pipes": ("in.csv", b"id|text\r\n7|a; b\r\n\r\n8|c\r\n"),
        "a mark for Excel": ("in.csv", b"sep=;\r\nid;text\r\n7;a; b\r\n8;c\r\n".replace(b"a; b", b'"a; b"')),
        "carriage returns": ("in.csv", b"id,text\r7,a; b\r8,c\r"),
        "packed": ("in.csv.gz", gzip.compress(b"id,text\n7,a; b\n8,c\n", mtime=0)),
        "lines": ("in.ndjson", b'{"id": "7", "text": "a; b"}\n\n{"id": "8", "text": "c"}\n'),
        "packed lines": (
            "in.jsonl.gz",
            gzip.compress(b'{"id": "7", "text": "a; b"}\n{"id": "8", "text": "c"}\n', mtime=0),
        ),
        "an array": ("in.jsonl", b'[{"id": "7", "text": "a; b"},\n {"id": "8", "text": "c"}]'),
        "json": ("in.json", b'[{"id": "7", "text": "a; b"}, {"id": "8", "text": "c"}]'),
    }.values(),
    ids=str,
)
def test_a_file_is_read_as_in_training(name: str, content: bytes, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    (source,) = find_files(tmp_path / name, FileOptions())
    assert list(stream_files([source])) == [{"id": "7", "text": "a; b"}, {"id": "8", "text": "c"}]
    assert source.done == 1
    assert read_files(tmp_path / name, FileOptions()).to_list() == stream(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv.gz", b"text\na\n", "in.csv.gz cannot be unpacked"),
        ("in.csv", b"text,text\na,b\n", "several columns named 'text'"),
        ("in.csv", b'id,text\n1,"a\n2,b\n3,c\n', r"the quote before 'a\\n2,b.*' in row 1 .* is never closed"),
        ("in.csv", b" \n", "in.csv is empty"),
    ],
)
def test_a_source_that_cannot_be_right_is_refused(name: str, content: bytes, message: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        stream(tmp_path / name)


def test_lists_that_stand_in_cells_are_words(saved, tmp_path: Path):
    predictor = Predictor.load(saved("token_classification")[1])
    words = [["the", "film", "was", "good"], ["a", "plot's", "."]]
    rows = [{"tokens": str(words[0])}, {"tokens": json.dumps(words[1])}, {"tokens": "the film was good"}]
    predict_file(predictor, write(tmp_path / "in.csv", rows), tmp_path / "out.tsv")
    with (tmp_path / "out.tsv").open(newline="") as file:
        found = [json.loads(row["prediction"]) for row in csv.DictReader(file, delimiter="\t")]
    for row, item in zip(found, [*words, "the film was good"], strict=True):
        for entity, expected in zip(row, predictor.predict([item])[0], strict=True):
            assert entity == {**expected, "score": pytest.approx(expected["score"])}


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path: Path):
    (tmp_path / "in.csv").write_bytes("\ufefftext\ngood\n".encode())
    assert stream(tmp_path / "in.csv") == [{"text": "good"}]


def test_values_of_several_types_do_not_fit_into_parquet_and_are_not_lost(tmp_path: Path):
    part = write(tmp_path / "part.jsonl", [{"a": 1}] * 1000 + [{"a": [2]}])
    with pytest.raises(InputError, match="do not fit into parquet.*They are in"):
        convert(part, tmp_path / "out.parquet")
    assert len(part.read_text().splitlines()) == 1001


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_where_the_disk_is_full_the_predictions_are_kept_as_json_lines(suffix: str, tmp_path: Path):
    part = tmp_path / "out.part"
    part.write_text("".join(json.dumps({"text": f"{i}" * 50, "prediction": i}) + "\n" for i in range(100)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ResourceError, match=r"out.* cannot be written: .* kept as JSON lines in .*out\.part"):
            convert(part, tmp_path / f"out{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["out.part"]


def test_an_output_whose_folder_is_a_file_is_a_failure_of_the_disk(predictor: Predictor, tmp_path: Path):
    (tmp_path / "in.csv").write_text("text\ngood\n")
    with pytest.raises(ResourceError, match=r"in\.csv/out\.csv cannot be written: "):
        predict_file(predictor, tmp_path / "in.csv", tmp_path / "in.csv" / "out.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_that_cannot_be_tokenized_or_written_hurt_no_others(
    suffix: str, predictor: Predictor, tmp_path: Path, monkeypatch
):
    ask = predictor.predict

    def fail_on_some(items: list[Any], **options: Any) -> list[Any]:
        if any(item["text"] == "boom" for item in items):
            raise TypeError("a model of somebody else's")
        return ask(items, **options)

    monkeypatch.setattr(predictor, "predict", fail_on_some)
    texts = ["good", "half \ud83d", "bad", "boom", r"\\ud800 \ud800", "\udc00\u2028"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tally = predict_file(predictor, tmp_path / "in.jsonl", tmp_path / f"out{suffix}")
    assert (tally.rows, tally.failed) == (6, 3)
    assert tally.named[4] == "TypeError: a model of somebody else's"
    assert re.search("is not Unicode: it holds half of a surrogate pair", tally.named[2])
    rows = read(tmp_path / f"out{suffix}")
    kept = texts if suffix == ".jsonl" else [*texts[:1], "half \ufffd", *texts[2:5], "\ufffd\u2028"]
    assert [row["text"] for row in rows] == kept
    assert [bool(row.get("error")) for row in rows] == [False, True, False, True, False, True]


FORMULAS = ["=1+1", "+a", "-a", "@a", "\ta", "\ra"]
PLAIN = ["-5", "+3.2e5", "a=1", "", "'=1"]


def cells_of(path: Path) -> list[list[Any]]:
    if path.suffix == ".xlsx":
        return [[cell.value for cell in row] for row in openpyxl.load_workbook(path).active]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx"])
def test_cells_that_look_like_formulas_are_made_inert_on_request(suffix: str, tmp_path: Path):
    rows = [{"=text": text, "n": -5, "prediction": {"label": "=A1"}} for text in [*FORMULAS, *PLAIN]]
    out = tmp_path / f"out{suffix}"
    convert(write(tmp_path / "part.jsonl", rows), out)
    assert [row[0] or "" for row in cells_of(out)] == ["=text", *FORMULAS, *PLAIN]
    convert(write(tmp_path / "part.jsonl", rows), out, escape_formulas=True)
    found = cells_of(out)
    assert [row[0] or "" for row in found] == [f"'{text}" for text in ("=text", *FORMULAS)] + PLAIN
    assert {(float(row[1]), row[2]) for row in found[1:]} == {(-5.0, "'=A1")}


def test_a_sheet_holds_no_formula_whatever_is_predicted(tmp_path: Path):
    rows = [{"text": "=HYPERLINK(1)", "prediction": 0.5}, {"text": "a\0b", "prediction": None}]
    convert(write(tmp_path / "part.jsonl", rows), tmp_path / "out.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    cells = [[(cell.value, cell.data_type) for cell in row] for row in sheet]
    assert cells[1:] == [[("=HYPERLINK(1)", "s"), (0.5, "n")], [("a\ufffdb", "s"), (None, "n")]]


def test_what_does_not_fit_into_a_sheet_is_kept(tmp_path: Path):
    part = write(tmp_path / "part.jsonl", [{"text": "x" * 40_000}])
    with pytest.raises(InputError, match=r"do not fit into xlsx: a cell holds 32767 characters.*They are in .*part"):
        convert(part, tmp_path / "out.xlsx")
    assert [file.name for file in tmp_path.iterdir()] == ["part.jsonl"]


def test_formulas_are_not_looked_for_where_no_program_runs_them():
    with pytest.raises(InputError, match=r"--escape-formulas is for \.csv, \.tsv, \.xlsx: .* in \.parquet"):
        check_target(Path("out.parquet"), escape_formulas=True)
