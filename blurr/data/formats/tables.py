"""Make tables of rows from anywhere: dicts, DataFrames, several files."""

from collections.abc import Iterable
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa

from blurr.data.spelling import spelled_column
from blurr.errors import InputError


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
    check_names(table, where)
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(field.type.value_type))
    return datasets.Dataset(table)


def _of_frame(frame: pd.DataFrame, where: str) -> pa.Table:
    """Make a table of a DataFrame; a column of values of several types becomes text."""
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        mixed = frame.copy(deep=False)
        for name in frame.columns[frame.dtypes.map(pd.api.types.is_object_dtype)]:
            mixed[name] = pd.Series(_column(list(frame[name]), str(name), where).to_pylist(), frame.index, object)
        return pa.Table.from_pandas(mixed, preserve_index=False)


def check_names(table: pa.Table, where: str) -> None:
    """Refuse a table two of whose columns have one name."""
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise InputError(f"{where} has several columns named {twice[0]!r}. Give each column a name of its own.")


def records(rows: list[dict[str, Any]], where: str) -> pa.Table:
    """Make a table of dicts, which may lack keys."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(
                f"{where} has a {type(row).__name__} as row {number}; every row must be an object with named values."
            )
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows], name, where) for name in names})


def _column(values: list[Any], name: str, where: str) -> pa.Array:
    """Make a column of values; where they are of several types, or numbers too large for one, of texts."""
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} has a text that is no Unicode: {error}. Replace the half of a surrogate pair."
        ) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        return _spelled(values, name, where, error)


def _spelled(values: Iterable[Any], name: str, where: str, error: Exception) -> pa.Array:
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


def by_rows(columns: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Turn columns of parsed JSON into rows: lists, or objects by row number as pandas writes them.

    Returns:
        The rows; None where these are no columns of one length.
    """
    values = list(columns.values())
    if values and all(isinstance(value, dict) for value in values):
        if any(value.keys() != values[0].keys() for value in values):
            return None
        values = [list(value.values()) for value in values]
    if not values or not all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
