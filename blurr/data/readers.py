"""Read files into rows: csv, tsv, json, jsonl, parquet, xlsx, conll, and text by file or by line."""

import glob
import io
import json
import logging
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from blurr.data.formats.conll import parse_conll
from blurr.data.formats.content import bytes_of, json_of, lines_of, suffix_of, text_of
from blurr.data.formats.delimited import (
    LONGEST_CELL,
    check_closed,
    delimiter_of,
    has_quoted_cells,
    named,
    ragged,
    without_mark,
)
from blurr.data.formats.squad import is_squad, squad_rows
from blurr.data.formats.tables import alike, as_rows, by_rows, check_names, records
from blurr.data.spelling import spell
from blurr.data.splits import FILE_COLUMN, split_name
from blurr.errors import InputError, nearest

log = logging.getLogger(__name__)

Paths = str | Path | Sequence[str | Path]
"""A file, a folder, a glob pattern, or a list of these."""
Format = Literal["auto", "csv", "tsv", "json", "jsonl", "squad", "parquet", "xlsx", "conll", "text", "lines"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".conll": "conll",
    ".txt": "text",
}
WILDCARDS = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class FileOptions:
    """How files are to be read.

    Attributes:
        format: Format of the files; `auto` goes by their extension, before `.gz` where they are packed.
        encoding: Encoding of text, any that Python knows; the default reads UTF-8 with or without a byte-order mark.
        delimiter: What stands between the columns of csv, tsv and conll; None for what the header of csv and tsv shows
            (a comma, tab, semicolon or pipe), and for a tab or spaces in conll.
        quotes: `fields` when a field may stand in quotes, `text` when a quote is a character like any other;
            `auto` finds out for tsv and takes `fields` for csv.
        sheet: Number, from 0, or name of the sheet of an xlsx file.
    """

    format: Format = "auto"
    encoding: str = "utf-8-sig"
    delimiter: str | None = None
    quotes: Literal["auto", "fields", "text"] = "auto"
    sheet: str | int = 0


@dataclass(frozen=True)
class Found:
    """A file, and its place below the folder that was asked for."""

    path: Path
    place: str


Reader = Callable[[Found, FileOptions, frozenset[str]], pa.Table]


def read_files(paths: Paths, options: FileOptions, *, text: frozenset[str] = frozenset()) -> datasets.Dataset:
    """Read all files that are meant, one after the other, as one set of rows.

    Rows from several files have a column `file`, the place of their file below the folder that was given.

    Args:
        paths: A file, a folder, a glob pattern, or a list of these.
        options: How to read them.
        text: Columns that stay text even where they look like numbers.

    Returns:
        The rows in the order of the files; files of a folder in the order of their names.

    Raises:
        InputError: When there is no such file, or it cannot be read as what it should be.
    """
    found = find_files(paths, options)
    kinds = {file.path: _format(file.path, options) for file in found}
    if len(set(kinds.values())) > 1:
        raise InputError(
            f"{paths} holds files of several formats: {sorted(set(kinds.values()))}. Name those of one format, for "
            "example by a pattern like folder/*.csv."
        )
    tables = [READERS[kinds[file.path]](file, options, text) for file in found]
    if len(tables) > 1:
        tables = [_with_place(table, file) for table, file in zip(tables, found, strict=True)]
    for table, file in zip(tables, found, strict=True):
        check_names(table, str(file.path))
    try:
        table = pa.concat_tables(alike(tables), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"The files of {paths} do not fit together: {error}. Give columns the same type in all."
        ) from error
    return as_rows(table, str(paths))


def find_files(paths: Paths, options: FileOptions) -> list[Found]:
    """List the files that are meant by a path, a folder, a pattern, or a list of these."""
    if not isinstance(paths, str | Path):
        return [found for path in paths for found in find_files(path, options)]
    path = Path(paths).expanduser()
    if path.is_dir():
        found = [Found(file, file.relative_to(path).as_posix()) for file in _files_below(path, options)]
        nothing = f"The folder {paths} holds no file of a known format ({sorted(FORMATS)})"
    elif WILDCARDS.search(str(path)) and not path.exists():
        root = Path(*_before_wildcard(path))
        files = sorted(Path(file) for file in glob.glob(str(path), recursive=True))
        found = [Found(file, file.relative_to(root).as_posix()) for file in files]
        nothing = f"No file fits the pattern {paths}"
    else:
        found = [Found(path, path.name)] if path.exists() else []
        there = [other.name for other in path.parent.glob("*")]
        nothing = f"There is no file {paths}.{nearest(path.name, there)}"
    if not found:
        raise InputError(f"{nothing}. Relative paths start at {Path.cwd()}.")
    return found


def _format(path: Path, options: FileOptions) -> str:
    kind = options.format if options.format != "auto" else FORMATS.get(suffix_of(path))
    if kind not in READERS:
        raise InputError(
            f"{path} is of no known format: {path.suffix or 'no extension'!r}.{nearest(path.suffix, FORMATS)} "
            f"Known are {sorted(FORMATS)}; for a file with another name set data.format to one of {sorted(READERS)}."
        )
    return kind


def _files_below(folder: Path, options: FileOptions) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return [file for file in seen if options.format != "auto" or suffix_of(file) in FORMATS]


def _before_wildcard(path: Path) -> list[str]:
    parts = list(path.parts)
    first = next(place for place, part in enumerate(parts) if WILDCARDS.search(part))
    return parts[:first]


def _with_place(table: pa.Table, file: Found) -> pa.Table:
    if FILE_COLUMN in table.column_names:
        return table
    return table.append_column(FILE_COLUMN, pa.array([file.place] * table.num_rows, pa.string()))


def _read_csv(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    return _delimited(file.path, ",", options, text)


def _read_tsv(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    return _delimited(file.path, "\t", options, text)


def _delimited(path: Path, default: str, options: FileOptions, text: frozenset[str]) -> pa.Table:
    """Read separated values as texts, each as it is written: 007, 1.10, NA and 2024-01-31, too."""
    whole, mark = without_mark(text_of(path, options.encoding))
    delimiter = delimiter_of(whole, options.delimiter or mark, default, str(path))
    quoted = has_quoted_cells(whole, delimiter, options.quotes)
    content = whole.encode()
    parse = pyarrow.csv.ParseOptions(
        delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
    )
    read = pyarrow.csv.ReadOptions(block_size=min(len(content) + 1, LONGEST_CELL), use_threads=False)

    def table(names: list[str]) -> pa.Table:
        convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        return pyarrow.csv.read_csv(io.BytesIO(content), read, parse, convert)

    header = content.lstrip().partition(b"\n")[0].decode().rstrip("\r").split(delimiter)
    try:
        rows = table([name.strip('"') for name in header])
        if not all(pa.types.is_string(field.type) for field in rows.schema):
            rows = table(rows.column_names)  # a name with quotes or a delimiter in it
    except pa.ArrowInvalid as error:
        reason = ragged(whole, delimiter, quoted=quoted) or f"{error}. Correct the row or set data.delimiter"
        raise InputError(f"{path} is not a table separated by {delimiter!r}: {reason}.") from error
    if quoted:
        check_closed(whole, delimiter, rows, str(path))
    return rows.rename_columns(named(rows.column_names))


def _read_json(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    content = text_of(file.path, options.encoding)
    try:
        data = json_of(content)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _json_lines(content, str(file.path))
        raise InputError(f"{file.path} is not JSON: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{file.path} is not JSON that holds rows: it is nested too deeply.") from error
    if options.format == "squad" or is_squad(data):
        return records(squad_rows(data, str(file.path)), str(file.path))
    rows = data.get("data", by_rows(data)) if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise InputError(
            f'{file.path} must hold a list of objects, or {{"data": [...]}} with such a list, or columns of one length.'
        )
    return records(rows, str(file.path))


def _read_jsonl(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    content = text_of(file.path, options.encoding)
    is_array = content.lstrip().startswith("[")  # an array of rows under another name
    return _read_json(file, options, text) if is_array else _json_lines(content, str(file.path))


def _json_lines(content: str, where: str) -> pa.Table:
    rows = []
    for number, line in enumerate(lines_of(content), start=1):
        if line.strip():
            try:
                rows.append(json_of(line))
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{where} is not JSON in line {number}: {error.msg}. Each line must be an object."
                ) from error
            except RecursionError as error:
                raise InputError(f"{where} holds no row in line {number}: it is nested too deeply.") from error
    return records(squad_rows(rows, where) if is_squad(rows) else rows, where)


def _read_parquet(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    content = bytes_of(file.path)
    try:
        return pyarrow.parquet.read_table(pa.BufferReader(content))
    except pa.ArrowInvalid as error:
        raise InputError(f"{file.path} is not a parquet file: {error}.") from error


def _read_xlsx(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    content = io.BytesIO(bytes_of(file.path))
    try:
        # as objects: pandas would take a cell with the text 007 for the number 7
        with pd.ExcelFile(content, engine="openpyxl") as book:
            frame = pd.read_excel(book, sheet_name=options.sheet, dtype=object, keep_default_na=False)
            sheets = list(book.sheet_names)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:  # KeyError: another archive
        raise InputError(
            f"{file.path} cannot be read as an Excel file with the sheet data.sheet={options.sheet}: {error}."
        ) from error
    if len(sheets) > 1:
        read = options.sheet if isinstance(options.sheet, str) else sheets[options.sheet]
        log.info("%s: of its sheets %s, %r is read (data.sheet).", file.path, sheets, read)
    for column in frame.columns:
        cells = frame[column]
        if column in text:
            frame[column] = cells.map(spell)
        elif any(not isinstance(cell, str) for cell in cells):
            frame[column] = cells.where(cells != "", None)  # a blank cell among numbers is a missing one
    return as_rows(frame, str(file.path)).data.table


def _read_conll(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    return records(parse_conll(text_of(file.path, options.encoding), str(file.path), options.delimiter), str(file.path))


def _read_text(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    """Read a whole file as one row; the folder it lies in, unless that is a split, is its label."""
    row = {"text": text_of(file.path, options.encoding), FILE_COLUMN: file.place}
    folders = Path(file.place).parts[:-1]
    if folders and split_name(folders[-1]) is None:
        row["label"] = folders[-1]
    return records([row], file.place)


def _read_lines(file: Found, options: FileOptions, text: frozenset[str]) -> pa.Table:
    """Read each line that is not blank as one row."""
    return records(
        [{"text": line} for line in lines_of(text_of(file.path, options.encoding)) if line.strip()], file.place
    )


READERS: dict[str, Reader] = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "json": _read_json,
    "jsonl": _read_jsonl,
    "squad": _read_json,
    "parquet": _read_parquet,
    "xlsx": _read_xlsx,
    "conll": _read_conll,
    "text": _read_text,
    "lines": _read_lines,
}
