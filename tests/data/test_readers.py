"""Files of every format become the same rows, and broken ones end in one clear message."""

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
import zipfile
from pathlib import Path
from typing import get_args

import datasets
import pandas as pd
import pyarrow as pa
import pytest

from blurr.data.formats import delimited
from blurr.data.formats.content import FileOptions, Format
from blurr.data.formats.dialect import SIGNS
from blurr.data.readers import READERS, read_files, stream_files
from blurr.data.sources import FORMATS, find_files
from blurr.errors import InputError

ROWS = [
    {"text": "a good book, really", "label": "good", "pages": 12},
    {"text": 'she said "no"', "label": "bad", "pages": 3},
    {"text": "", "label": "NA", "pages": 40},
    {"text": "null", "label": "bad", "pages": 7},
    {"text": "Käse für 5 €", "label": "good", "pages": 7},
]
TEXT = frozenset({"text"})


def write(path: Path, rows: list[dict] = ROWS) -> Path:
    """Write rows in the format of the path's extension."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_excel(path, index=False)
    return path


def read(path: object, *, text: frozenset[str] = TEXT, **options: object) -> datasets.Dataset:
    return read_files(path, FileOptions(**options), text=text)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "ndjson", "parquet", "xlsx"])
def test_every_format_gives_back_the_rows_that_were_written(tmp_path: Path, suffix: str) -> None:
    """Where a cell has no type, a number is its digits."""
    expected = [{**row, "pages": str(row["pages"])} for row in ROWS] if suffix in ("csv", "tsv") else ROWS
    assert read(write(tmp_path / f"rows.{suffix}")).to_list() == expected


@pytest.mark.parametrize("name", ["ROWS.CSV", "rows.Json"])
def test_the_case_of_an_extension_does_not_matter(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / f"rows{Path(name).suffix.lower()}").rename(tmp_path / name)
    assert read(path).num_rows == len(ROWS)


def test_text_that_looks_like_a_number_or_a_date_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,when,empty,score\n007,2024-01-31,,1.5\n1e3,2024-02-01,,\n")
    rows = read(path)
    assert rows["text"] == ["007", "1e3"]
    assert rows["when"] == ["2024-01-31", "2024-02-01"]
    assert rows["empty"] == ["", ""]
    assert rows["score"] == ["1.5", ""]


def test_text_cells_of_a_sheet_stay_text_and_blank_numbers_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    pd.DataFrame({"text": ["NA", 5, None], "score": [1.5, None, 2.0]}).to_excel(path, index=False)
    assert read(path).to_list() == [
        {"text": "NA", "score": 1.5},
        {"text": "5", "score": None},
        {"text": "", "score": 2.0},
    ]


def test_a_sheet_is_chosen_by_name(tmp_path: Path, caplog) -> None:
    path = tmp_path / "rows.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"text": ["first"]}).to_excel(book, sheet_name="one", index=False)
        pd.DataFrame({"text": ["second"]}).to_excel(book, sheet_name="two", index=False)
    assert read(path, sheet="two")["text"] == ["second"]
    with caplog.at_level("INFO", "blurr"):
        assert read(path)["text"] == ["first"]
    assert caplog.messages == [f"{path}: of its sheets ['one', 'two'], 'one' is read (data.sheet)."]


def test_a_type_that_shows_late_in_a_long_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{number},{'word ' * 20}\n" for number in range(20_000)) + "x1,last\n")
    assert read(path)["id"][-2:] == ["19999", "x1"]


def test_quotes_are_text_in_a_tsv_file_that_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n" it \'s a " feel-good " film\t1\n"wow" he said\t1\n"dull"\t0\n')
    assert read(path)["text"] == ['" it \'s a " feel-good " film', '"wow" he said', '"dull"']


def test_quotes_enclose_fields_in_a_tsv_file_that_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"two\nlines and ""quotes"""\t1\nplain\t0\n')
    assert read(path)["text"] == ['two\nlines and "quotes"', "plain"]


@pytest.mark.parametrize(("quotes", "expected"), [("fields", "dull"), ("text", '"dull"')])
def test_the_meaning_of_quotes_can_be_set(tmp_path: Path, quotes: str, expected: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"dull",0\n')
    assert read(path, quotes=quotes)["text"] == [expected]


def test_another_delimiter_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\na, b;1\n")
    assert read(path, delimiter=";").to_list() == [{"text": "a, b", "label": "1"}]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows.{suffix}")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path).column_names == ["text", "label", "pages"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n\na,1\n\n\nb,2\n\n")
    (tmp_path / "rows.jsonl").write_text('\n{"text": "a"}\n\n  \n{"text": "b"}\n')
    assert read(tmp_path / "rows.csv")["text"] == ["a", "b"]
    assert read(tmp_path / "rows.jsonl")["text"] == ["a", "b"]


def test_another_encoding_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text\nKäse\n".encode("cp1252"))
    assert read(path, encoding="cp1252")["text"] == ["Käse"]


def test_json_may_hold_its_rows_under_data_or_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"version": 1, "data": ROWS}))
    write(tmp_path / "b.jsonl").rename(tmp_path / "b.json")
    assert read(tmp_path / "a.json").to_list() == read(tmp_path / "b.json").to_list() == ROWS


def test_objects_may_lack_keys(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"b": "x"}\n')
    assert read(path).to_list() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_class_names_of_a_parquet_file_are_kept(tmp_path: Path) -> None:
    features = datasets.Features({"label": datasets.ClassLabel(names=["no", "yes"])})
    datasets.Dataset.from_dict({"label": [0, 1]}, features=features).to_parquet(tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet").features["label"].names == ["no", "yes"]


def test_a_folder_of_text_files_gives_a_row_per_file_labelled_by_its_folder(tmp_path: Path) -> None:
    for name in ("train/good/1.txt", "train/bad/2.txt", "valid/good/3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of\n{name}")
    (tmp_path / "README.md").write_text("not data")
    (tmp_path / ".hidden.txt").write_text("not data")
    assert read(tmp_path).to_list() == [
        {"text": "text of\ntrain/bad/2.txt", "file": "train/bad/2.txt", "label": "bad"},
        {"text": "text of\ntrain/good/1.txt", "file": "train/good/1.txt", "label": "good"},
        {"text": "text of\nvalid/good/3.txt", "file": "valid/good/3.txt", "label": "good"},
    ]


def test_a_text_file_can_be_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes("one\u2028still one\x0c\x85.\r\n\ntwo\n".encode())
    assert read(path, format="lines")["text"] == ["one\u2028still one\x0c\x85.", "two"]


def test_json_lines_end_at_a_line_feed_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"text": "a\u2028b\x85c"}\r\n{"text": "d\u2029e"}\r\n\r\n'.encode())
    assert read(path)["text"] == ["a\u2028b\x85c", "d\u2029e"]


@pytest.mark.parametrize("kind", ["folder", "pattern", "list"])
def test_several_files_are_read_one_after_the_other(tmp_path: Path, kind: str) -> None:
    (tmp_path / "parts").mkdir()
    paths = [write(tmp_path / "parts" / f"{name}.csv", ROWS[:2]) for name in ("b", "a")]
    rows = read({"folder": tmp_path / "parts", "pattern": str(tmp_path / "*" / "*.csv"), "list": paths}[kind])
    expected = {"folder": ["a.csv", "b.csv"], "pattern": ["parts/a.csv", "parts/b.csv"], "list": ["b.csv", "a.csv"]}
    assert rows["file"] == [file for file in expected[kind] for _ in range(2)]
    assert rows["text"] == [row["text"] for row in ROWS[:2]] * 2


def test_a_relative_path_starts_at_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "rows.csv")
    monkeypatch.chdir(tmp_path)
    assert read("rows.csv").num_rows == len(ROWS)


def test_categories_of_a_file_are_plain_values(tmp_path: Path) -> None:
    pd.DataFrame({"label": pd.Categorical(["a", "b", "a"])}).to_parquet(tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet")["label"] == ["a", "b", "a"]


BROKEN = {
    "empty": ("rows.csv", b"  \n", "rows.csv is empty"),
    "windows-1252": (
        "rows.csv",
        "text\nKäse".encode("cp1252"),
        "byte 0xe4 in line 2. .*data.encoding=cp1252",
    ),
    "utf-16": ("rows.csv", "text\nKäse".encode("utf-16"), "data.encoding=utf-16"),
    "too many fields": (
        "rows.csv",
        b"a,b\n1,2\n3,4,5\n",
        r"csv: Line 3 has 3 cells where the header has 2: '3,4,5'",
    ),
    "two columns of one name": ("rows.csv", b"a,a\n1,2\n", "several columns named 'a'"),
    "broken json": ("rows.json", b'[{"a": 1}', "rows.json is not JSON: .*line 1"),
    "json of no rows": ("rows.json", b'{"rows": 3}', 'a list of objects, or {"data"'),
    "rows that are no objects": ("rows.json", b"[1, 2]", "has a int as row 1"),
    "broken jsonl": (
        "rows.jsonl",
        b'{"a": 1}\n{"a": \n',
        "rows.jsonl: Line 2 is not JSON: Expecting value at character 8. Each line must",
    ),
    "several types": ("rows.jsonl", b'{"a": [1]}\n{"a": "x"}\n', "values of several types, 'a'"),
    "no parquet": ("rows.parquet", b"text", "rows.parquet is not a parquet file"),
    "no sheet": ("rows.xlsx", b"text", "rows.xlsx cannot be read as an Excel file"),
    "unknown extension": ("rows.cvs", b"text\na\n", r"no known format: '\.cvs'. Did you mean '\.csv'\?.*data.format"),
    "old Excel": ("rows.xls", b"text", r"no known format: '\.xls'. Did you mean '\.xlsx'\?"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_ends_in_one_clear_message(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){message}"):
        read(tmp_path / name)


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.encoding=utf-9 \(--encoding\) is not an encoding"):
        read(write(tmp_path / "rows.csv"), encoding="utf-9")


def test_an_encoding_whose_mark_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("text\na\n".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"does not start with BOM. Set data.encoding \(--encoding\) to utf-16-le or"):
        read(tmp_path / "rows.csv", encoding="utf-16")
    assert read(tmp_path / "rows.csv", encoding="utf-16-le")["text"] == ["a"]


def test_a_missing_file_is_answered_by_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "train.csv")
    with pytest.raises(InputError, match=r"There is no file .*trian\.csv\. Did you mean 'train\.csv'\?"):
        read(tmp_path / "trian.csv")


def test_a_pattern_that_fits_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No file fits the pattern"):
        read(str(tmp_path / "*.csv"))


def test_a_folder_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file of a known format"):
        read(tmp_path)


def test_a_folder_of_several_formats_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    write(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"several formats: \['csv', 'json'\]"):
        read(tmp_path)


def test_files_that_do_not_fit_together_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"score": 1.5}\n')
    (tmp_path / "b.jsonl").write_text('{"score": [1.5]}\n')
    with pytest.raises(InputError, match="do not fit together"):
        read(tmp_path)


def test_what_the_system_cannot_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="folder.csv cannot be read: Is a directory"):
        read(str(tmp_path / "*.csv"))


def test_every_known_extension_has_a_reader_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "rows.csv")
    write(tmp_path / ".rows.csv")
    assert [found.place for found in find_files(tmp_path, FileOptions())] == ["rows.csv"]
    assert set(READERS) == set(get_args(Format)) - {"auto"} >= set(FORMATS.values())


PEOPLE = [{"text": "Anna, Bo; and | Cy", "label": "a"}, {"text": "two\tparts", "label": "b"}]


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.csv.gz"])
@pytest.mark.parametrize("sign", [",", "\t", ";", "|"], ids=["comma", "tab", "semicolon", "pipe"])
def test_the_header_shows_what_separates_the_columns(tmp_path: Path, name: str, sign: str, caplog) -> None:
    path = tmp_path / name
    with caplog.at_level("INFO", "blurr"):
        pd.DataFrame(PEOPLE).to_csv(path, index=False, sep=sign)
        assert read(path, quotes="fields").to_list() == PEOPLE
    usual = "\t" if name == "rows.tsv" else ","
    said = [] if sign == usual else [f"{path}: its columns are separated by {SIGNS[sign]} (data.delimiter)."]
    assert caplog.messages == said


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ('"a, b";c', ["1,5;2", "1,5;3"], ["a, b", "c"]),
        ("id;text, raw;label", ["1;x, y;a", "2;z;b"], ["id", "text, raw", "label"]),
        ("id,text;raw", ["1,x", "2,z;z"], ["id", "text;raw"]),
        ('"a;b",c|d', ["1,2", "3,4"], ["a;b", "c|d"]),
        ("text", ['"one, two; three"', "four"], ["text"]),
        (",text,", ["0,a,", "1,b,"], ["column_1", "text", "column_3"]),
    ],
)
def test_a_header_with_several_signs_goes_by_the_rows(
    tmp_path: Path, header: str, rows: list[str], columns: list[str]
) -> None:
    (tmp_path / "rows.csv").write_text("\n".join([header, *rows]))
    found = read(tmp_path / "rows.csv", text=frozenset())
    assert found.column_names == columns
    assert found.num_rows == 2


@pytest.mark.parametrize("asked", ["\t", r"\t", "tab"])
def test_a_tab_may_be_spelt_on_the_command_line(tmp_path: Path, asked: str) -> None:
    (tmp_path / "rows.csv").write_text("a,b\tc\n1\t2\n")
    assert read(tmp_path / "rows.csv", delimiter=asked).column_names == ["a,b", "c"]


def test_a_row_of_another_length_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('text,label\n"one\ntwo",a\nthree, four,b\n')
    with pytest.raises(InputError, match=r"csv: Line 4 has 3 cells where the header has 2: 'three, four,b'. Correct"):
        read(tmp_path / "rows.csv")


@pytest.mark.parametrize("content", ['text,label\na,b\nc,"d\ne,f\n', 'text\na\n"b\nc\n'])
def test_rows_are_not_lost_behind_a_quote_that_is_never_closed(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(InputError, match=r"in row 2 \(counted from 1, without the header\) is never closed"):
        read(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text('text,label\na,b\nc,"d\ne"\n')
    assert read(tmp_path / "rows.csv")["label"] == ["b", "d\ne"]


def test_a_very_long_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"text;label\n{'x' * 300_000};a\ny;b\n")
    assert [len(text) for text in read(tmp_path / "rows.csv")["text"]] == [300_000, 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_a_file_of_several_blocks_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str
) -> None:
    """Line ends in a cell, quotes and letters of two bytes fall on the ends of blocks."""
    expected = [{"text": f'Käse "{n}"' + "\r\nfür, 5 €" * (n % 3), "label": f"00{n}"} for n in range(500)]
    content = pd.DataFrame(expected).to_csv(index=False, lineterminator="\r\n").encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    monkeypatch.setattr(delimited, "BLOCK", 500)
    monkeypatch.setattr(delimited, "_rows", None)  # arrow alone reads them
    assert read(tmp_path / name, encoding=encoding).to_list() == expected


def test_a_row_longer_than_a_block_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 100)
    (tmp_path / "rows.csv").write_text(f"text,label\na,b\n{'x' * 1000},c\n")
    assert read(tmp_path / "rows.csv").to_list() == [{"text": "a", "label": "b"}, {"text": "x" * 1000, "label": "c"}]


def test_a_header_longer_than_the_sample_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a file took the slow way, whose time grows faster than the number of columns."""
    names = [f"measurement_{n}" for n in range(6000)]
    (tmp_path / "rows.csv").write_text(f"{','.join(names)}\n{','.join(map(str, range(6000)))}\n")
    monkeypatch.setattr(delimited, "_rows", None)
    assert read(tmp_path / "rows.csv").to_list() == [{name: str(n) for n, name in enumerate(names)}]


@pytest.mark.slow
def test_a_file_of_more_than_two_gib_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    block = f'"{"x" * 1000}, or so",a\n' * 1000
    try:
        with path.open("w") as file:
            file.write("text,label\n")
            file.writelines(block for _ in range((1 << 31) // len(block) + 1))
            file.write('"the ""last"" one",b\n')
        assert path.stat().st_size > 1 << 31
        rows = read(path)
        assert rows[-1] == {"text": 'the "last" one', "label": "b"}
        assert rows.num_rows == 1000 * ((1 << 31) // len(block) + 1) + 1
    finally:
        path.unlink()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_of_any_encoding_is_left_out(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    (tmp_path / "rows.csv").write_bytes(f"{mark}text,label\na,b\n".encode(encoding.removesuffix("-sig")))
    assert read(tmp_path / "rows.csv", encoding=encoding).column_names == ["text", "label"]


def test_a_packed_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(b"text\na\n")
    with pytest.raises(InputError, match=r"rows.csv.gz cannot be unpacked: Not a gzipped file"):
        read(tmp_path / "rows.csv.gz")
    (tmp_path / "rows.tar.gz").write_bytes(b"")
    with pytest.raises(InputError, match="of no known format"):
        read(tmp_path / "rows.tar.gz")


def zipped(content: bytes, **others: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, each in {"inner/rows.csv": content, "__MACOSX/._rows.csv": b"", **others}.items():
            made.writestr(name, each)
    return out.getvalue()


PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: packed_by_arrow(content, "zstd"),
    "lz4": lambda content: packed_by_arrow(content, "lz4"),
    "zip": zipped,
}


def packed_by_arrow(content: bytes, codec: str) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, codec) as made:
        made.write(content)
    return out.getvalue().to_pybytes()


@pytest.mark.parametrize("suffix", PACKED)
def test_files_of_every_packing_are_read(tmp_path: Path, suffix: str):
    content = b"text,label\n" + b"".join(b"%d of many,good\n" % n for n in range(3000))
    path = tmp_path / f"rows.csv.{suffix}"
    path.write_bytes(PACKED[suffix](content))
    (tmp_path / "rows.csv").write_bytes(content)
    rows = read(tmp_path / "rows.csv").to_list()
    assert read(path).to_list() == rows
    assert [*stream_files(find_files(path, FileOptions()))] == rows
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=rf"rows.csv.{suffix} cannot be unpacked: "):
        read(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"rows.csv.{suffix} cannot be unpacked: "):
        read(path)


def test_what_grows_too_much_when_it_is_unpacked_is_refused(tmp_path: Path):
    (tmp_path / "rows.csv.zst").write_bytes(PACKED["zst"](b"text\n" + bytes(2**23)))
    with pytest.raises(InputError, match="unpacks to more than 250 times its size"):
        read(tmp_path / "rows.csv.zst")


def test_a_zip_is_read_by_what_is_in_it(tmp_path: Path):
    path = tmp_path / "rows.zip"
    path.write_bytes(zipped(b"text,label\na,b\n"))
    assert read(path).to_list() == [{"text": "a", "label": "b"}]
    path.write_bytes(zipped(b"text\na\n", other=b"b"))
    with pytest.raises(InputError, match="holds 2 files, and of a zip one is read. Unpack it, and give the folder"):
        read(path)
    (tmp_path / "more.csv").write_text("text\nc\n")
    assert read(tmp_path).to_list() == [{"text": "c"}]  # where a folder is given, a zip without a format is none


def test_an_array_under_the_name_of_json_lines_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    assert read(tmp_path / "rows.jsonl").to_list() == ROWS
    (tmp_path / "rows.jsonl").write_text("[1]\n[2]\n")
    with pytest.raises(InputError, match="rows.jsonl: Line 1 is a list. Each line must be an object"):
        read(tmp_path / "rows.jsonl")


def test_nan_in_json_is_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "n": NaN}\n{"text": NaN, "n": 1.5}\n')
    assert read(tmp_path / "rows.jsonl").to_list() == [{"text": "a", "n": None}, {"text": None, "n": 1.5}]


@pytest.mark.parametrize("orient", ["records", "columns", "list", "table"])
def test_json_of_pandas_is_read_however_it_was_written(tmp_path: Path, orient: str) -> None:
    frame, path = pd.DataFrame(ROWS), tmp_path / "rows.json"
    path.write_text(json.dumps(frame.to_dict("list")) if orient == "list" else frame.to_json(orient=orient))
    assert read(path).select_columns(["text", "label", "pages"]).to_list() == ROWS


@pytest.mark.parametrize(
    "content", ['{"a": [1], "b": [1, 2]}', '{"a": {"0": 1}, "b": {"1": 1}}', '{"a": 1}', "{}", "3"]
)
def test_json_that_holds_no_rows_is_answered(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(InputError, match="must hold a list of objects, .*, or columns of one length"):
        read(tmp_path / "rows.json")


def test_the_line_that_tells_excel_the_delimiter_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sep=;\r\ntext;label\r\na, b;c\r\n")
    assert read(tmp_path / "rows.csv").to_list() == [{"text": "a, b", "label": "c"}]


SAMPLES = {
    "csv": ("rows.csv", b'sep=;\r\ntext;n\r\n"a\r\nb";007\r\n\r\nc;\r\n'),
    "tsv": ("rows.tsv.gz", gzip.compress('text\tn\n"dull"\t1\n"wow" he said\t2\n'.encode("utf-16"))),
    "json": ("rows.json", b'{"data": [{"text": "a", "n": 1}, {"text": "b", "n": "x"}]}'),
    "jsonl": ("rows.ndjson", b'\n{"text": "a\xe2\x80\xa8b", "n": NaN}\r\n{"n": 1.5, "text": "c"}'),
    "squad": ("rows.jsonl", b'{"header": 1}\n{"context": "c", "qas": [{"question": "q", "answers": ["c"]}]}\n'),
    "conll": ("rows.conll", b"EU\tB-ORG\nis\tO\n\nPeter\tB-PER\n"),
    "text": ("rows.txt", b"one\r\ntwo\n"),
    "lines": ("rows.txt", b"one\xe2\x80\xa8still one\r\n\ntwo\n"),
}


@pytest.mark.parametrize("kind", sorted(READERS))
def test_rows_are_the_same_as_a_table_and_one_by_one(tmp_path: Path, kind: str) -> None:
    """Predicting reads what training reads, in every format, by the same rules."""
    if kind in SAMPLES:
        name, content = SAMPLES[kind]
        (path := tmp_path / name).write_bytes(content)
    else:
        path = write(tmp_path / f"rows.{kind}")
    options = FileOptions(format="auto" if kind == "squad" else kind, encoding="utf-16" if kind == "tsv" else "utf-8")
    sources = find_files(path, options, text=TEXT)
    rows = list(stream_files(sources))
    assert len(rows) > 0
    assert rows == read_files(path, options, text=TEXT).to_list()
    assert sources[0].done == 1


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ('a,b\r\n"x ""y""\r\nz",a"b\r\n\r\n"c"d, "e"\r\n', None),
        ("a,b\rc,d\re,\x00\r", None),
        ('a\n""\n \n\n', None),
        ('"a\nb",c\n1,"2\n3"\n', None),
        ("a§b\n1§2\n", "§"),
    ],
    ids=["quotes", "carriage returns", "one column", "lines in the last cell", "not ascii"],
)
def test_cells_are_the_same_as_a_table_and_one_by_one(tmp_path: Path, content: str, delimiter: str | None) -> None:
    (tmp_path / "rows.csv").write_bytes(content.encode())
    options = FileOptions(delimiter=delimiter)
    rows = read_files(tmp_path / "rows.csv", options).to_list()
    assert rows
    assert rows == list(stream_files(find_files(tmp_path / "rows.csv", options)))


def test_a_quoted_cell_of_a_tsv_file_may_be_longer_than_what_is_read_at_a_time(tmp_path: Path) -> None:
    cell = "line\n" * 2500
    (tmp_path / "rows.tsv").write_text(f'text\tlabel\n"{cell}"\ta\n')
    assert read(tmp_path / "rows.tsv").to_list() == [{"text": cell, "label": "a"}]
    (tmp_path / "rows.tsv").write_text(f'text\tlabel\n"{cell}\ta\n')  # not closed: the quote is text
    with pytest.raises(InputError, match="Line 2 has 1 cells where the header has 2"):
        read(tmp_path / "rows.tsv")


def test_several_files_are_read_one_by_one_with_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.jsonl", ROWS[:2])
    assert list(stream_files(find_files(tmp_path, FileOptions()))) == read(tmp_path).to_list()


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.tsv", "rows.jsonl", "rows.parquet", "rows.txt"])
def test_memory_does_not_grow_with_the_rows_of_a_file(tmp_path: Path, name: str) -> None:
    def peak(n: int) -> int:
        frame = pd.DataFrame({"text": [f"{row} said " + 'a "word" ' * 20 for row in range(n)], "n": "1"})
        path = tmp_path / name
        if name == "rows.parquet":
            frame.to_parquet(path)
        elif name == "rows.jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_csv(path, index=False, sep="\t" if name == "rows.tsv" else ",")
        sources = find_files(path, FileOptions(format="lines" if name == "rows.txt" else "auto"))
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        held = max(pa.total_allocated_bytes() - before for _ in stream_files(sources))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found + held

    few = 10_000 if name == "rows.parquet" else 2000  # pages of a parquet file are a megabyte
    assert peak(4 * few) < 1.5 * peak(few) + 200_000
