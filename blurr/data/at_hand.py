"""Load rows that a notebook or script has in memory, or a file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import pandas as pd

from blurr.data.cells import with_packed
from blurr.data.core import Columns, Limit, RawData, Schema, UnknownLabels, known_splits, raw_data
from blurr.data.examining import Places, places_of
from blurr.data.formats.content import FileOptions
from blurr.data.formats.tables import as_rows
from blurr.data.media import Broken
from blurr.data.naming import chosen_columns
from blurr.data.readers import read_sources
from blurr.data.roles import text_columns, with_found_media
from blurr.data.sources import find_files
from blurr.data.splits import DEFAULT_SPLITS, Splits
from blurr.errors import InputError


def from_data(
    schema: Schema,
    data: object,
    *,
    columns: Columns | None = None,
    valid: object | None = None,
    splits: Splits = DEFAULT_SPLITS,
    limit: Limit = None,
    unknown_labels: UnknownLabels = "refuse",
    broken: Broken = "refuse",
    other_columns: Mapping[str, Sequence[str]] | None = None,
) -> RawData:
    """Load rows that a notebook or script has in memory, or a file.

    Args:
        schema: What the task wants of its rows.
        data: A DataFrame, a Dataset, a DatasetDict, a list of dicts, or the path of a file or folder.
        valid: Validation rows, of any of these kinds but a DatasetDict; None takes them from `data`.
        columns: See `raw_data`.
        splits: See `raw_data`.
        limit: See `raw_data`.
        unknown_labels: See `raw_data`.
        broken: See `raw_data`.
        other_columns: Role to the columns to look for, where its own is missing.

    Raises:
        InputError: When the data cannot be read as rows, or `raw_data` refuses them.
    """
    others = {role: names for role, names in (other_columns or {}).items() if role != schema.classes}
    text = text_columns(schema, columns).union(*others.values())
    source = str(data) if isinstance(data, str | Path) else type(data).__name__
    parts = known_splits(data, source) if isinstance(data, Mapping) else {}
    given = {} if isinstance(data, Mapping) else {"train": data}
    places: dict[str, Places] = {}
    for split, rows in {**given, **({} if valid is None else {"valid": valid})}.items():
        parts[split], places[split] = _at_hand(rows, text, schema, columns)
    columns = {**(columns or {}), **_found(parts["train"].column_names, columns or {}, other_columns or {})}
    columns = with_found_media(parts["train"], schema, columns)
    raw = raw_data(
        parts,
        schema,
        columns=columns,
        source=source,
        splits=splits,
        limit=limit,
        unknown_labels=unknown_labels,
        broken=broken,
        places=places,
    )
    return replace(raw, columns=columns)


def _found(there: Sequence[str], columns: Columns, others: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return, for each role whose own column is missing, the first other one that is there."""
    missing = {role: names for role, names in others.items() if (columns.get(role) or role) not in there}
    return {role: name for role, names in missing.items() for name in reversed(names) if name in there}


def _at_hand(
    data: object, text: frozenset[str], schema: Schema, columns: Columns | None
) -> tuple[datasets.Dataset, Places]:
    """Read one split from whatever kind of thing was given, with the folders where its relative paths start."""
    if isinstance(data, str | Path):
        sources = find_files(data, FileOptions(), text=text, media=schema.suffixes)
        return read_sources(sources, str(data)), places_of(sources)
    return _in_memory(data, schema, chosen_columns(schema, columns or {})), {}


def _in_memory(data: object, schema: Schema, columns: Columns) -> datasets.Dataset:
    if isinstance(data, datasets.Dataset):
        return data
    kinds = {role: [schema.media[role]] if role in schema.media else [] for role in schema.roles}
    named = {str(columns.get(role, role)): known for role, known in kinds.items()}  # boxes look like arrays of pixels
    if isinstance(data, pd.DataFrame):
        return as_rows(with_packed(data, [*schema.media.values()], named), "The DataFrame")
    if isinstance(data, list):
        return as_rows(with_packed(data, [*schema.media.values()], named), "The list")
    raise InputError(
        f"A {type(data).__name__} cannot be read as rows. Give a DataFrame, a datasets.Dataset, a DatasetDict, "
        "a list of dicts, or the path of a file or folder."
    )
