"""Find columns under other names than their role's, and make one column of rows that come in several shapes."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from blurr.data.examining import Examined
from blurr.data.formats.content import ROWS
from blurr.data.formats.many_records import UNLIKE, batches_of
from blurr.data.formats.picked import picked
from blurr.data.formats.spooled import on_disk
from blurr.data.formats.tables import dataset_of
from blurr.data.media import Broken
from blurr.data.naming import Columns
from blurr.data.roles import Schema
from blurr.errors import InputError, listed

log = logging.getLogger(__name__)
FEW = 5  # bad rows that are named


def with_aliases(rows: datasets.Dataset, schema: Schema, columns: Columns) -> Columns:
    """Return the columns of roles, with another usual name for a role whose own column is missing."""
    there = set(rows.column_names)
    found = {
        role: next((name for name in names if name in there), None)
        for role, names in schema.aliases.items()
        if columns.get(role) in (None, role) and role not in there
    }
    return {**columns, **{role: name for role, name in found.items() if name is not None}}


def shaped(rows: datasets.Dataset, schema: Schema, *, where: str, broken: Broken) -> Examined:
    """Put what `schema.shaper` makes of each row under the first required role; other roles' columns are left out.

    Args:
        rows: Under the task's roles, some of whose columns are there.
        schema: What the task needs; has a `shaper`.
        where: Where the rows are from, for messages.
        broken: What to do with rows of which nothing can be made.

    Raises:
        InputError: There are such rows, or none of the columns.
    """
    there = [role for role in schema.roles if role in rows.column_names]
    if schema.shaper is None or not there:
        raise InputError(
            f"{where} has none of the columns {listed(schema.roles)}. It has {listed(rows.column_names)}; name them by "
            f"data.columns, such as data.columns.{schema.required[0]}=<column>."
        )
    wrong: dict[int, InputError] = {}

    def values() -> Iterator[Any]:
        wrong.clear()
        for number, row in enumerate(_rows_of(rows, there), start=1):
            made = _made(row, schema)
            if isinstance(made, InputError):
                wrong[number] = made
            else:
                yield made

    found = _column(values, schema.required[0], where, rows.data.nbytes)
    said = [f"row {row} {mistake}" for row, mistake in wrong.items()]
    if wrong:
        _tell(said, rows.num_rows, where, broken)
    rest = rows.remove_columns(there)
    if wrong:
        rest = picked(rest, np.delete(np.arange(rows.num_rows), np.array([*wrong]) - 1))
    return Examined(datasets.concatenate_datasets([found, rest], axis=1) if rest.column_names else found, said)


def _rows_of(rows: datasets.Dataset, there: Sequence[str]) -> Iterator[dict[str, Any]]:
    for block in rows.with_format(None).select_columns(list(there)).iter(ROWS):
        yield from (dict(zip(there, row, strict=True)) for row in zip(*(block[role] for role in there), strict=True))


def _column(values: Callable[[], Iterator[Any]], name: str, where: str, size: int) -> datasets.Dataset:
    """Return values as the only column of a data set, which stays on the disk where they take much memory."""
    try:
        kept = on_disk(where, size, lambda: batches_of({name: value} for value in values()))
    except UNLIKE:
        kept = None
    return datasets.Dataset.from_dict({name: [*values()]}) if kept is None else dataset_of(kept)


def _made(row: Mapping[str, Any], schema: Schema) -> Any:
    try:
        return schema.shaper(row) if schema.shaper else None
    except InputError as error:
        return error


def _tell(said: list[str], count: int, where: str, broken: Broken) -> None:
    few = "; ".join(said[:FEW]) + ("; …" if len(said) > FEW else "")
    text = f"{where}: {len(said)} of {count} rows cannot be used: {few} (rows are counted from 1)."
    if broken == "refuse" or len(said) == count:
        remedy = "Correct these rows" if broken == "drop" else "Correct them, or leave them out by data.broken=drop"
        raise InputError(f"{text} {remedy}.")
    log.warning("%s They are left out (data.broken=drop).", text)
