"""Make tables of rows from anywhere: dicts, DataFrames, parquet and xlsx files, several tables."""

import io
import logging
import re
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from blurr.data.formats.content import ROWS, Row, SourceFile, chunks
from blurr.data.formats.spooled import on_disk, size_of
from blurr.data.formats.workbook import NOT_EXCEL, bounded
from blurr.data.spelling import spell, spelled_column
from blurr.errors import InputError, shortened

SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair, which no text may hold
Checked = TypeVar("Checked", pa.Table, pa.RecordBatch)
log = logging.getLogger(__name__)

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
        plain = plain_type(field.type)
        if plain != field.type:
            table = table.set_column(place, field.name, table.column(place).cast(plain))
    try:
        return dataset_of(table)
    except (ValueError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"{where} has a column of a type that rows cannot have: {error} Write it as texts, numbers, lists or "
            "objects of these."
        ) from error


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that `datasets` knows for the same values."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return kind.value_type
    return pa.string() if pa.types.is_string_view(kind) else kind


def dataset_of(table: pa.Table, features: datasets.Features | None = None) -> datasets.Dataset:
    """Make a Dataset of a table, without the hash of all its values that `datasets` would name it by."""
    return datasets.Dataset(table, datasets.DatasetInfo(features=features), fingerprint=uuid.uuid4().hex)


def with_values(rows: datasets.Dataset, column: str, values: list[Any], feature: Any = None) -> datasets.Dataset:
    """Put other values into a column, which keeps its place among the columns."""
    kinds = None if feature is None else datasets.Features({column: feature})
    made = datasets.Dataset.from_dict({column: values}, kinds)
    return with_array(rows, column, made.data.column(0), made.features[column])


def with_array(rows: datasets.Dataset, column: str, values: pa.ChunkedArray, feature: Any) -> datasets.Dataset:
    """Put an array of Arrow into a column, which keeps its place among the columns, or is the last where it is new."""
    # as a table: the time of `datasets` grows with the square of the number of columns
    table = rows.with_format("arrow")[:]
    if column in table.column_names:
        table = table.set_column(table.column_names.index(column), column, values)
    else:
        table = table.append_column(column, values)
    return dataset_of(table, datasets.Features({**rows.features, column: feature}))


def repeated(value: str, times: int) -> pa.ChunkedArray:
    """Return a column of one value, which takes the memory of some rows alone."""
    some = pa.array([value] * min(times, ROWS), pa.string())
    return pa.chunked_array([*[some] * (times // ROWS), some.slice(0, times % ROWS)], pa.string())


def _of_frame(frame: pd.DataFrame, where: str) -> pa.Table:
    """Make a table of a DataFrame; a column of values of several types becomes text."""
    names = [str(name) for name in frame.columns]
    check_names(names, where)
    _check_unicode(names, where)
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"{where} has a column of a type that no table has: {error}. Write it as texts.") from error
    except UnicodeEncodeError as error:
        raise _not_unicode(where, error) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        mixed = frame.copy(deep=False)
        for name in frame.columns[frame.dtypes.map(pd.api.types.is_object_dtype)]:
            mixed[name] = pd.Series(_column(list(frame[name]), str(name), where).to_pylist(), frame.index, object)
        return pa.Table.from_pandas(mixed, preserve_index=False)


def check_names(names: list[str], where: str) -> None:
    """Refuse a table with two columns of one name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(
            f"{where} has several columns named {shortened(repr(twice[0]))}. Give each column a name of its own."
        )


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
    _check_unicode(columns, where)
    return pa.table({name: _column(column, name, where) for name, column in columns.items()})


def _check_unicode(names: Iterable[Any], where: str) -> None:
    """Refuse a table with a column whose name is not a text."""
    for name in names:
        if not isinstance(name, str) or SURROGATE.search(name):
            raise InputError(f"{where} has a column whose name is not a text in Unicode: {shortened(repr(name))}.")


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


def _column(values: list[Any], name: str, where: str) -> pa.Array:
    """Make a column of values; where they are of several types, or numbers too large for one, of texts."""
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise _not_unicode(where, error) from error
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
    mixed = {name for name, kind in kinds.items() if len(kind) > 1}
    return [_with_texts(table, mixed) for table in tables] if mixed else tables


def _not_unicode(where: str, error: UnicodeEncodeError) -> InputError:
    return InputError(f"{where} has a text that is not Unicode: {error}. Replace the half of a surrogate pair.")


def _with_texts(table: pa.Table, names: Collection[str]) -> pa.Table:
    columns = {
        field.name: spelled_column(column.to_pylist()) if field.name in names else column
        for field, column in zip(table.schema, table.columns, strict=True)
    }
    return pa.table(columns, metadata=table.schema.metadata)


@contextmanager
def _parquet(source: SourceFile) -> Iterator[pq.ParquetFile]:
    with source.opened() as opened:
        try:
            content = pa.BufferReader(source.read_bytes()) if source.is_packed else opened
            with pq.ParquetFile(content, buffer_size=BUFFER) as file:
                yield file
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
            raise InputError(f"{source} is not a parquet file: {error}. Write it anew.") from error


def read_parquet(source: SourceFile) -> pa.Table:
    """Read a parquet file, with the names of classes that `datasets` has left in it; a large one stays on the disk."""

    def batches() -> Iterator[pa.RecordBatch]:
        with _parquet(source) as file:
            plain = pa.schema([field.with_type(plain_type(field.type)) for field in file.schema_arrow])
            plain = plain.with_metadata(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=ROWS):
                yield _checked(batch, str(source)).cast(plain)

    kept = on_disk(source, size_of(source), batches)
    if kept is not None:
        return kept
    with _parquet(source) as file:
        return _checked(file.read(), str(source))


def stream_parquet(source: SourceFile) -> Iterator[Row]:
    """Yield the rows of a parquet file."""
    read = 0
    with _parquet(source) as file:
        for batch in file.iter_batches(batch_size=ROWS):
            read += batch.num_rows
            source.done = read / file.metadata.num_rows
            yield from _checked(batch, str(source)).to_pylist()


def _checked(table: Checked, where: str) -> Checked:
    """Return a table that Python can read: a broken file may hold any bytes for a text, and any number for a date."""
    table.validate(full=True)
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_temporal(field.type):
            numbers = column.cast(pa.int32() if field.type.bit_width == 32 else pa.int64())
            ends = pc.min_max(numbers).as_py().values()
            try:
                pa.array(ends, numbers.type).cast(field.type).to_pylist()
            except (OverflowError, ValueError, KeyError) as error:  # KeyError: a time zone there is not
                raise InputError(
                    f"{where} has a time that Python cannot count to in the column {field.name!r}, of type "
                    f"{field.type}: {error}. Correct it, or write the column as texts."
                ) from error
    return table


def read_xlsx(source: SourceFile) -> pa.Table:
    """Read a sheet; texts stay as they are written, and columns with other cells keep their type."""
    sheet = source.options.sheet
    try:
        # as objects: pandas would take a cell with the text 007 for the number 7
        with pd.ExcelFile(io.BytesIO(bounded(source)), engine="openpyxl") as book:
            frame = pd.read_excel(book, sheet_name=sheet, dtype=object, keep_default_na=False)
            sheets = list(book.sheet_names)
    except InputError:
        raise
    except NOT_EXCEL as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{source} cannot be read as an Excel file with the sheet data.sheet={sheet} (--sheet): {reason}."
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
