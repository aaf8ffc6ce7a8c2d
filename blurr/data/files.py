"""Load rows from files: csv, tsv, json, jsonl, SQuAD's json, parquet, xlsx, conll, folders of text or pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import datasets

from blurr.config.annotations import Natural
from blurr.config.places import expanded, kind_of
from blurr.data.core import Limit, RawData, Step, raw_data
from blurr.data.examining import places_of
from blurr.data.formats.content import FileOptions, Format
from blurr.data.known_labels import UnknownLabels
from blurr.data.media import Broken
from blurr.data.naming import Columns
from blurr.data.readers import read_sources
from blurr.data.roles import Schema, text_columns
from blurr.data.sources import Paths, find_files, named
from blurr.data.splits import DEFAULT_SPLITS, Splits
from blurr.errors import InputError, nearest


def load_files(
    schema: Schema,
    *,
    train: Paths,
    valid: Paths | None = None,
    test: Paths | None = None,
    columns: Columns | None = None,
    splits: Splits = DEFAULT_SPLITS,
    limit: Limit = None,
    preprocess: Step | Sequence[Step] | None = None,
    unknown_labels: UnknownLabels = "refuse",
    broken: Broken = "refuse",
    media: Paths | None = None,
    format: Format = "auto",
    encoding: str = "utf-8-sig",
    delimiter: str | None = None,
    quotes: Literal["auto", "fields", "text"] = "auto",
    sheet: str | Natural = 0,
) -> RawData:
    """Load rows from files; each of `train`, `valid` and `test` is a file, a folder, a pattern, or a list of these.

    Args:
        schema: What the task needs of its rows.
        train: Where the training rows are; relative paths start at the current directory.
        valid: Where the validation rows are; None takes them from `train` as `splits` says.
        test: Where the rows for the final test are.
        columns: Role to column; a role that is not named here has a column of its own name.
        splits: How to take validation rows from `train`.
        limit: Rows per split to keep, drawn at random: a number, or one for each split.
        preprocess: What to do first to the rows of each split: a function from a Dataset to a Dataset, or several.
        unknown_labels: `refuse` rows with labels that no training row has, or `drop` these rows.
        broken: `refuse` files of media, such as pictures, that cannot be opened, or `drop` their rows.
        media: A folder, or several, where relative paths of media start, if they lead nowhere beside their table.
        format: See `FileOptions`, as for all that follow.
        encoding: Encoding of text files.
        delimiter: What stands between columns.
        quotes: Whether quotes enclose fields or are text.
        sheet: Number or name of the sheet of an xlsx file.

    Raises:
        InputError: A file cannot be read, or its rows are not what the task needs.
    """
    options = FileOptions(format=format, encoding=encoding, delimiter=delimiter, quotes=quotes, sheet=sheet)
    given = {"train": train, "valid": valid, "test": test}
    text, places = text_columns(schema, columns), {}
    rows: dict[str, datasets.Dataset] = {}
    for name, paths in given.items():
        if paths is not None:
            sources = find_files(paths, options, text=text, media=schema.suffixes)
            rows[name] = read_sources(sources, str(paths))
            places[name] = places_of(sources)
    return raw_data(
        rows,
        schema,
        columns=columns,
        source=named(train),
        sources={split: named(paths) for split, paths in given.items() if paths is not None},
        splits=splits,
        limit=limit,
        preprocess=preprocess,
        unknown_labels=unknown_labels,
        broken=broken,
        places=places,
        folders=folders_in(media),
    )


def folders_in(media: Paths | None) -> list[Path]:
    """Return folders of media, absolute.

    Raises:
        InputError: One is not there.
    """
    given = [media] if isinstance(media, str | Path) else media or ()
    folders = [expanded(str(folder)).absolute() for folder in given]
    for folder in folders:
        if kind_of(folder) != "folder":
            there = [each.name for each in folder.parent.glob("*") if each.is_dir()]
            raise InputError(f"data.media={folder} is not a folder.{nearest(folder.name, there)}")
    return folders
