"""Look for what is probably not meant in rows: empty texts, and rows to score that are trained on."""

import logging
from collections.abc import Sequence

import datasets
import numpy as np
from numpy.typing import NDArray

from blurr.data.core import RawData
from blurr.data.drawing import keys_of
from blurr.data.formats.content import ROWS
from blurr.data.roles import Schema

log = logging.getLogger(__name__)

LOOK = "Look at this: %s. A remedy: %s."
MUCH_SEEN = 0.01  # share of a split's rows
SKETCHED = 2000  # of a data set, the rows by which others know it again
MOST_COMPARED = 1_000_000  # rows to train on, above which a comparison would cost seconds and memory at each start


def look_at(raw: RawData, schema: Schema) -> None:
    """Warn of rows to train and validate on that cannot be meant.

    Args:
        raw: The rows.
        schema: What the task needs of them.
    """
    for name, rows in raw.splits.items():
        _look_for_empty(rows, schema, raw.where(name))
    known = seen_in(raw.train, schema)
    for name in ("valid", "test"):
        found, of = met(raw.splits[name], schema, known) if name in raw.splits else (0, 0)
        if found > MUCH_SEEN * of:
            said = f"{found} of {of} rows of {raw.where(name)} have the inputs of rows that are trained on"
            log.warning(LOOK, said, "take them out of one of the two; their scores say nothing of new rows")


def _look_for_empty(rows: datasets.Dataset, schema: Schema, where: str) -> None:
    if schema.label is None:
        return  # blank lines belong to a text whose words are learnt
    for role in sorted(schema.texts.intersection(rows.column_names)):
        blocks = rows.with_format(None).select_columns([role]).iter(ROWS)
        empty = sum(isinstance(text, str) and not text.strip() for block in blocks for text in block[role])
        if empty:
            log.warning(LOOK, f"{empty} of {len(rows)} rows of {where} have an empty {role}", "take these rows out")


def seen_in(rows: datasets.Dataset, schema: Schema) -> NDArray[np.uint64]:
    """Return the keys of the inputs of rows, each once, in order (see `keys_of`); none of over `MOST_COMPARED` rows."""
    return np.unique(keys_of(rows, _inputs(rows, schema) if len(rows) <= MOST_COMPARED else ()))


def met(rows: datasets.Dataset, schema: Schema, known: NDArray[np.uint64], *, is_part: bool = False) -> tuple[int, int]:
    """Return how many rows have inputs that are known, and of how many that was asked.

    Args:
        rows: Named by role.
        schema: What they are for.
        known: Of `seen_in`.
        is_part: Whether `known` has only the lowest keys, which answer for the rows whose keys are as low.
    """
    keys = keys_of(rows, _inputs(rows, schema))
    if is_part:
        keys = keys[keys <= known[-1]]
    return int(np.isin(keys, known).sum()), len(keys)


def _inputs(rows: datasets.Dataset, schema: Schema) -> Sequence[str]:
    return [role for role in schema.inputs if role in rows.column_names]


def sketch(known: NDArray[np.uint64]) -> str:
    """Return the first keys as hexadecimal digits, 16 each, few enough for a run to keep."""
    return known[:SKETCHED].astype(">u8").tobytes().hex()


def from_sketch(text: str) -> NDArray[np.uint64]:
    """Return the keys that `sketch` has written."""
    return np.frombuffer(bytes.fromhex(text), dtype=">u8").astype(np.uint64)
