"""Make tables of rows from anywhere: dicts, DataFrames, parquet and xlsx files, several tables."""

import io
import logging
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from blurr.data.formats.content import Row, SourceFile
from blurr.data.spelling import spell, spelled_column
from blurr.errors import InputError

T = TypeVar("T")
log = logging.getLogger(__name__)

ROWS = 1000  # that are in memory at a time, as dicts
BUFFER = 1 << 20  # bytes of a column that are: pandas writes files of a single group of rows


def as_rows(table: pa.Table | pd.DataFrame | list[dict[str, Any]], where: str) -> datasets.Dataset:
    """Make a Dataset of a table, a DataFrame or a list of dicts.

    Args:
        table: The rows; dicts may lack keys.
        where: Where they are from, for messages.

    Raises:
        InputError: When a column has values of several types, or two columns have one name.
    """
    if isinstance(table, list):
        table = records(table, where)
    if isinstance(table, pd.DataFrame):
        table = _of_frame(table, where)
    check_names(table.column_names, where)
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(field.type.value_type))
    return datasets.Dataset(table)


def with_values(rows: datasets.Dataset, column: str, values: list[Any], feature: Any = None) -> datasets.Dataset:
    """Put other values into a column, which keeps its place among the columns."""
    names = rows.column_names
    return rows.remove_columns(column).add_column(column, values, feature=feature).select_columns(names)


def _of_frame(frame: pd.DataFrame, where: str) -> pa.Table:
    """Make a table of a DataFrame; a column of values of several types becomes text."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        mixed = frame.copy(deep=False)
        for name in frame.columns[frame.dtypes.map(pd.api.types.is_object_dtype)]:
            mixed[name] = pd.Series(_column(list(frame[name]), str(name), where).to_pylist(), frame.index, object)
        return pa.Table.from_pandas(mixed, preserve_index=False)


def check_names(names: list[str], where: str) -> None:
    """Refuse a table with two columns of one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{where} has several columns named {twice[0]!r}. Give each column a name of its own.")


def records(rows: Iterable[Row | InputError], where: str) -> pa.Table:
    """Make a table of dicts, which may lack keys; an error among them is raised.

    A column of several types becomes text; that is known only when all rows have been seen. So the columns are kept
    rather than the dicts, which would take more memory than all their values.
    """
    columns: dict[str, list[Any]] = {}
    before = 0
    for block in chunks(sound(rows, where), ROWS):
        for name in dict.fromkeys(chain.from_iterable(block)):
            columns.setdefault(name, [None] * before)
        for name, column in columns.items():
            column.extend([row.get(name) for row in block])
        before += len(block)
    return pa.table({name: _column(column, name, where) for name, column in columns.items()})


def sound(rows: Iterable[Row | InputError], where: str) -> Iterator[Row]:
    """Yield the rows, and raise the first of them that could not be read or is not an object."""
    for number, row in enumerate(rows, start=1):
        if isinstance(row, InputError):
            raise InputError(f"{where}: {row}")
        if not isinstance(row, dict):
            raise InputError(
                f"{where} has a {type(row).__name__} as row {number}; every row must be an object with named values."
            )
        yield row


def chunks(values: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `n`, the last of them shorter."""
    stream = iter(values)
    while chunk := list(islice(stream, n)):
        yield chunk


def _column(values: list[Any], name: str, where: str) -> pa.Array:
    """Make a column of values; where they are of several types, or numbers too large for one, of texts."""
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} has a text that is not Unicode: {error}. Replace the half of a surrogate pair."
        ) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        try:
            return spelled_column(values)
        except InputError:
            raise InputError(f"{where} has a column with values of several types, {name!r}: {error}.") from error


def alike(tables: list[pa.Table]) -> list[pa.Table]:
    """Turn a column that is text in one of the tables into text in all."""
    kinds: dict[str, set[bool]] = {}
    for table in tables:
        for field in table.schema:
            if not pa.types.is_null(field.type) and not pa.types.is_nested(field.type):
                kinds.setdefault(field.name, set()).add(pa.types.is_string(field.type))
    for name in [name for name, kind in kinds.items() if len(kind) > 1]:
        tables = [
            table.set_column(place, name, spelled_column(table.column(place).to_pylist()))
            if (place := table.schema.get_field_index(name)) >= 0
            else table
            for table in tables
        ]
    return tables


@contextmanager
def _parquet(source: SourceFile) -> Iterator[pq.ParquetFile]:
    with source.opened() as opened:
        try:
            content = pa.BufferReader(source.read_bytes()) if source.is_packed else opened
            with pq.ParquetFile(content, buffer_size=BUFFER) as file:
                yield file
        except pa.ArrowInvalid as error:
            raise InputError(f"{source} is not a parquet file: {error}.") from error


def read_parquet(source: SourceFile) -> pa.Table:
    """Read a parquet file, with the names of classes that `datasets` has left in it."""
    with _parquet(source) as file:
        return file.read()


def stream_parquet(source: SourceFile) -> Iterator[Row]:
    """Yield the rows of a parquet file."""
    read = 0
    with _parquet(source) as file:
        for batch in file.iter_batches(batch_size=ROWS):
            read += batch.num_rows
            source.done = read / file.metadata.num_rows
            yield from batch.to_pylist()


def read_xlsx(source: SourceFile) -> pa.Table:
    """Read a sheet; texts stay as they are written, and columns with other cells keep their type."""
    sheet = source.options.sheet
    try:
        # as objects: pandas would take a cell with the text 007 for the number 7
        with pd.ExcelFile(io.BytesIO(source.read_bytes()), engine="openpyxl") as book:
            frame = pd.read_excel(book, sheet_name=sheet, dtype=object, keep_default_na=False)
            sheets = list(book.sheet_names)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:  # KeyError: another archive
        raise InputError(
            f"{source} cannot be read as an Excel file with the sheet data.sheet={sheet} (--sheet): {error}."
        ) from error
    if len(sheets) > 1:
        read = sheet if isinstance(sheet, str) else sheets[sheet]
        log.info("%s: of its sheets %s, %r is read (data.sheet).", source, sheets, read)
    for column in frame.columns:
        cells = frame[column]
        if column in source.text:
            frame[column] = cells.map(spell)
        elif any(not isinstance(cell, str) for cell in cells):
            frame[column] = cells.where(cells != "", None)  # a blank cell among numbers is a missing one
    return as_rows(frame, str(source)).data.table
