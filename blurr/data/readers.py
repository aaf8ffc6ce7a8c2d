"""Read files: whole as a table to train on, or row by row to predict on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
import pyarrow as pa

from blurr.data.formats.conll import parse_conll
from blurr.data.formats.content import MEDIA, FileOptions, Row, SourceFile
from blurr.data.formats.delimited import read_csv, read_tsv, stream_csv, stream_tsv
from blurr.data.formats.json_rows import read_json, stream_json_lines
from blurr.data.formats.many_records import records_of
from blurr.data.formats.tables import (
    alike,
    as_rows,
    check_names,
    read_parquet,
    read_xlsx,
    records,
    repeated,
    stream_parquet,
)
from blurr.data.naming import split_name
from blurr.data.pairs import paired
from blurr.data.sources import FILE_COLUMN, Paths, find_files
from blurr.errors import InputError


def read_files(paths: Paths, options: FileOptions, *, text: frozenset[str] = frozenset()) -> datasets.Dataset:
    """Read files one after the other as one set of rows.

    Rows from several files have a column `file`: the path of their file below the folder that was given.

    Args:
        paths: A file, a folder, a glob pattern, or a list of these.
        options: How to read them.
        text: Columns that stay text even where they look like numbers.

    Returns:
        The rows in the order of the files; files of a folder in the order of their names.

    Raises:
        InputError: A file is missing, or is not of its format.
    """
    return read_sources(find_files(paths, options, text=text), str(paths))


def read_sources(sources: Sequence[SourceFile], where: str) -> datasets.Dataset:
    """Read files that were found; see `read_files`.

    Args:
        sources: What `find_files` returned.
        where: Where they are, for messages.
    """
    if sources[0].format == MEDIA and sources[0].others:
        return as_rows(records(paired(sources, (sources[0].role, *sources[0].others), where), where), where)
    if sources[0].format == MEDIA:
        return as_rows(records(map(_media_row, sources), where), where)
    together = sum(source.path.stat().st_size for source in sources)
    tables = [_table(replace(source, together=together)) for source in sources]
    for table, source in zip(tables, sources, strict=True):
        check_names(table.column_names, str(source))
    if len(tables) > 1:
        tables = [_with_place(table, source) for table, source in zip(tables, sources, strict=True)]
    try:
        table = pa.concat_tables(alike(tables), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"The files of {where} do not fit together: {error}. Give columns the same type in all."
        ) from error
    return as_rows(table, where)


def stream_files(sources: Sequence[SourceFile]) -> Iterator[Row | InputError]:
    """Yield the same rows as `read_files` one by one, from files that may be larger than the memory.

    Only a few rows of csv, tsv, jsonl, parquet and lines of text are in memory at a time. Values of jsonl keep their
    types, while `read_files` turns a column of several types into text.

    Args:
        sources: What `find_files` returned; each of them says how far it has been read.

    Yields:
        A row, or what is wrong with it.

    Raises:
        InputError: A file is not of its format.
    """
    for source in sources:
        for row in _streamed(source):
            if len(sources) > 1 and isinstance(row, dict):
                row.setdefault(FILE_COLUMN, source.place)
            yield row
        source.done = 1.0


def _streamed(source: SourceFile) -> Iterable[Row | InputError]:
    if source.format == MEDIA:
        return [{FILE_COLUMN: str(source.path)}]
    if source.format in STREAMS:
        return STREAMS[source.format](source)
    rows: list[Row] = _table(source).to_pylist()
    return rows


def _table(source: SourceFile) -> pa.Table:
    if source.format in TABLES:
        return TABLES[source.format](source)
    return records_of(source, partial(STREAMS[source.format], source))


def _with_place(table: pa.Table, source: SourceFile) -> pa.Table:
    if FILE_COLUMN in table.column_names:
        return table
    return table.append_column(FILE_COLUMN, repeated(source.place, table.num_rows))


def _read_conll(source: SourceFile) -> pa.Table:
    return records_of(source, lambda: parse_conll(source.lines(), str(source), source.options.delimiter))


def _read_text(source: SourceFile) -> pa.Table:
    """Read a whole file as one row; the folder it lies in, unless that is a split, is its label."""
    return records([{"text": source.read_text(), **_place_and_label(source)}], source.place)


def _place_and_label(source: SourceFile) -> Row:
    folders = Path(source.place).parts[:-1]
    has_label = bool(folders) and split_name(folders[-1]) is None
    return {FILE_COLUMN: source.place, **({"label": folders[-1]} if has_label else {})}


def _media_row(source: SourceFile) -> Row:
    """Return a file of media, such as a picture, as one row; its folder, unless that is a split, is its label."""
    return {source.role: str(source.path), **_place_and_label(source)}


def _stream_lines(source: SourceFile) -> Iterator[Row]:
    """Yield each line that is not blank as one row."""
    return ({"text": line.removesuffix("\n").removesuffix("\r")} for line in source.lines() if line.strip())


STREAMS: dict[str, Callable[[SourceFile], Iterator[Row | InputError]]] = {
    "csv": stream_csv,
    "tsv": stream_tsv,
    "jsonl": stream_json_lines,
    "parquet": stream_parquet,
    "lines": _stream_lines,
}
TABLES: dict[str, Callable[[SourceFile], pa.Table]] = {
    "csv": read_csv,  # as a whole in a tenth of the time
    "tsv": read_tsv,
    "json": read_json,
    "squad": read_json,
    "parquet": read_parquet,  # as a whole it keeps the types of columns, and names of classes
    "xlsx": read_xlsx,
    "conll": _read_conll,
    "text": _read_text,
}
READERS = STREAMS | TABLES
