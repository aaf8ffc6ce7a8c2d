"""Take validation and test rows out of one set of rows; every way means the same for every source."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from blurr.config.annotations import Fraction, Natural, Parts, Seed
from blurr.data.distinct import Distinct
from blurr.data.drawing import Groups, drawn, mixed
from blurr.data.formats.picked import picked
from blurr.data.media import media_columns
from blurr.data.naming import MEANINGS, split_name
from blurr.data.sources import FILE_COLUMN
from blurr.errors import InputError, nearest

log = logging.getLogger(__name__)

VALID_COLUMN = "is_valid"

LOOKED_AT = 100  # rows that show whether a column names splits

TRUE = ("true", "1", "1.0", "yes")
FALSE = ("false", "0", "0.0", "no")


@dataclass(frozen=True)
class Splits:
    """How to take validation rows where no validation data is given.

    Attributes:
        by: `auto` follows a column `is_valid`, else folders named train and valid, else draws at random.
            `random` draws rows, `stratified` draws so that each label keeps its share, `group` keeps rows with the
            same value of `column` together, `column` follows the values of `column` (true or false, or names of
            splits), `index` takes the rows whose numbers are in `index`, `folder` follows the folders or the names
            of the files, `kfold` takes one of several equal parts. Rows with equal inputs never part.
        valid: Share of the rows that are for validation.
        test: Share of the rows that are for testing; for `random`, `stratified` and `group`.
        column: The column that `group` and `column` look at.
        index: Numbers of the validation rows, from 0.
        folds: Number of parts for `kfold`.
        fold: Which of the parts, from 0, is for validation.
        seed: Decides what is drawn.
    """

    by: Literal["auto", "random", "stratified", "group", "column", "index", "folder", "kfold"] = "auto"
    valid: Fraction = 0.2
    test: Fraction = 0.0
    column: str | None = None
    index: list[Natural] | None = None
    folds: Parts = 5
    fold: Natural = 0
    seed: Seed = 42


DEFAULT_SPLITS = Splits()

PARTS = tuple(MEANINGS)
TRAIN, VALID, TEST, NOWHERE = 0, 1, 2, -1
Codes = NDArray[np.int8]
"""One entry per row: the number of its split in `PARTS`, or `NOWHERE` for a row that is in no split."""


def split_rows(
    rows: datasets.Dataset, splits: Splits, *, label: str | None, inputs: Sequence[str]
) -> dict[str, datasets.Dataset]:
    """Split rows into `train`, `valid` and, if asked for, `test`.

    Args:
        rows: All the rows there are.
        splits: The way to split them.
        label: The column whose values `stratified` keeps in balance, or None.
        inputs: The columns that a model sees; rows equal in all of them never part.

    Returns:
        The splits, none of them empty.

    Raises:
        InputError: When the way needs what is not there, or a split would be empty.
    """
    if splits.by == "auto" and _has_test_folder(rows):
        return _beside_test_folder(rows, splits, label=label, inputs=inputs)
    by = _chosen_way(rows) if splits.by == "auto" else splits.by
    if by != splits.by and by == "random":
        _look_for_splits(rows, {label, *inputs})
    if by not in WAYS:
        raise InputError(f"data.splits.by={by} is not a way to split.{nearest(by, WAYS)} There are {sorted(WAYS)}.")
    codes = WAYS[by](rows, splits, label, inputs)
    parts = {part: np.flatnonzero(codes == code) for code, part in enumerate(PARTS)}
    for part in ("train", "valid"):
        if not len(parts[part]):
            why = _why_empty(rows, by, [_column(rows, splits)] if by == "group" else inputs)
            raise InputError(
                f"Splitting {rows.num_rows} rows with data.splits.by={by} leaves none for {part!r}.{why} Give "
                "data.valid, change data.splits, or give more rows (data.format=lines takes each line of a text file "
                "as a row)."
            )
    return {part: picked(rows, chosen) for part, chosen in parts.items() if len(chosen)}


def _why_empty(rows: datasets.Dataset, by: str, columns: Sequence[str]) -> str:
    """Say that rows which must stay together are too few groups to split, where that is the reason."""
    count = len(Groups.of(rows, columns)) if by in ("random", "stratified", "group", "kfold") else rows.num_rows
    if count == rows.num_rows:
        return ""
    what = ", ".join(map(repr, columns))
    return f" Only {count} of them differ in {what}, and rows that are equal in it are never parted."


def _has_test_folder(rows: datasets.Dataset) -> bool:
    """Return whether files of media lie in folders named train and test, and in no other."""
    if not media_columns(rows) or VALID_COLUMN in rows.column_names or FILE_COLUMN not in rows.column_names:
        return False
    return set(_by_file(rows).values) == {"train", "test"}


def _beside_test_folder(
    rows: datasets.Dataset, splits: Splits, *, label: str | None, inputs: Sequence[str]
) -> dict[str, datasets.Dataset]:
    """Take validation rows from the folder named train, and leave the one named test alone."""
    codes = _coded(_by_file(rows))
    train, test = (rows.select(np.flatnonzero(codes == PARTS.index(part))) for part in ("train", "test"))
    by_chance = replace(splits, by="random", test=0.0)
    return {**split_rows(train, by_chance, label=label, inputs=inputs), "test": test}


def _chosen_way(rows: datasets.Dataset) -> str:
    if VALID_COLUMN in rows.column_names:
        return "column"
    if FILE_COLUMN in rows.column_names and {"train", "valid"} <= set(_by_file(rows).values):
        return "folder"
    return "random"


def _look_for_splits(rows: datasets.Dataset, roles: Collection[str | None]) -> None:
    """Warn of a column that names splits, which drawing at random does not follow."""
    first = rows.select(range(min(LOOKED_AT, rows.num_rows))).with_format("arrow")[:]  # of thousands of columns at once
    texts = [
        name
        for name, kind in zip(first.column_names, first.schema.types, strict=True)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ]
    for column in sorted(set(texts).difference(roles)):
        if all(value is not None and split_name(value) for value in first[column].to_pylist()):
            names = [str(value) for value in Distinct.of(rows, column).values]
            if len(names) > 1 and all(map(split_name, names)):
                said = (
                    "Look at this: the column %r names %s, and validation rows are drawn at random. A remedy: follow "
                    "it by data.splits.by=column data.splits.column=%s, or by a column is_valid of true and false."
                )
                log.warning(said, column, " and ".join(sorted(names)), column)


def _by_column(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    column = VALID_COLUMN if splits.by == "auto" else _column(rows, splits)
    values = Distinct.of(rows, column)
    for row, value in values.firsts():
        _named_split(value, column, row)
    return _coded(values.changed(lambda value: _named_split(value, column, 0)))


def _coded(names: Distinct) -> Codes:
    """Return the splits of rows by their names; None is none."""
    codes = [NOWHERE if name is None else PARTS.index(name) for name in names.values]
    found: Codes = np.array(codes, dtype=np.int8)[names.codes]
    return found


def _named_split(value: object, column: str, row: int) -> str:
    """Return the split that a cell names; the row is counted from 1."""
    text = str(value).strip().lower()
    if text in TRUE or text in FALSE:
        return "valid" if text in TRUE else "train"
    meant = split_name(text)
    if meant is None:
        raise InputError(
            f"The column {column!r} says {value!r} in row {row} (counted from 1). It must say true or false "
            "(is this row for validation?), or train, valid or test."
        )
    return meant


def _by_index(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    chosen = sorted(set(splits.index or ()))
    beyond = [row for row in chosen if not 0 <= row < rows.num_rows]
    if beyond:
        raise InputError(f"data.splits.index names row {beyond[0]}, but the rows are 0 to {rows.num_rows - 1}.")
    codes = np.full(rows.num_rows, TRAIN, dtype=np.int8)
    codes[np.array(chosen, dtype=np.int64)] = VALID
    return codes


def _by_folder(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    if FILE_COLUMN not in rows.column_names:
        raise InputError(
            "data.splits.by=folder needs rows that come from several files. Give a folder as data.train, with folders "
            "or files named train and valid in it."
        )
    return _coded(_by_file(rows))


def _by_file(rows: datasets.Dataset) -> Distinct:
    """Return the split that the folder or the name of each row's file means."""
    files = Distinct.of(rows, FILE_COLUMN)
    return files.changed(lambda file: split_name(PurePath(PurePath(str(file)).parts[0]).stem))


def _by_random(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    groups = Groups.of(rows, inputs)
    return _drawn(groups.sizes, splits)[groups.of_row]


def _by_group(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    return _by_random(rows, splits, label, [_column(rows, splits)])


def _by_stratified(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    if label is None or label not in rows.column_names:
        raise InputError("data.splits.by=stratified needs labels, and this task's rows have none. Use by=random.")
    labels = Distinct.of(rows, label)
    if any(isinstance(value, float | list | dict) for value in labels.values):
        raise InputError(
            "data.splits.by=stratified needs one class per row as label, not numbers or lists. Use by=random."
        )
    groups = Groups.of(rows, inputs)
    codes, sizes = np.empty(len(groups), dtype=np.int8), groups.sizes
    equal: dict[Any, int] = {}
    of_group = np.array([equal.setdefault(value, len(equal)) for value in labels.values])[labels.codes[groups.firsts]]
    order = np.argsort(of_group, kind="stable")
    for stratum in np.split(order, np.flatnonzero(np.diff(of_group[order])) + 1):
        codes[stratum] = _drawn(sizes[stratum], splits)
    return codes[groups.of_row]


def _by_kfold(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Codes:
    if splits.fold >= splits.folds:
        raise InputError(
            f"data.splits.fold={splits.fold} is not one of 0 to {splits.folds - 1} (data.splits.folds={splits.folds})."
        )
    groups = Groups.of(rows, inputs)
    order, sizes = mixed(len(groups), splits.seed), groups.sizes
    before = np.cumsum(sizes[order]) - sizes[order]
    codes = np.empty(len(groups), dtype=np.int8)
    codes[order] = np.where(before * splits.folds // rows.num_rows == splits.fold, VALID, TRAIN)
    return codes[groups.of_row]


WAYS: dict[str, Callable[[datasets.Dataset, Splits, str | None, Sequence[str]], Codes]] = {
    "random": _by_random,
    "stratified": _by_stratified,
    "group": _by_group,
    "column": _by_column,
    "index": _by_index,
    "folder": _by_folder,
    "kfold": _by_kfold,
}


def _column(rows: datasets.Dataset, splits: Splits) -> str:
    column = splits.column
    if column is None or column not in rows.column_names:
        raise InputError(
            f"data.splits.by={splits.by} looks at data.splits.column={column}, which the rows do not have."
            f"{nearest(column, rows.column_names)} They have {rows.column_names}."
        )
    return column


def _drawn(sizes: NDArray[np.integer[Any]], splits: Splits) -> Codes:
    """Draw whole groups until validation and test have their share; what would overfill a split stays in train.

    Args:
        sizes: Number of the rows of each group, which must stay together.
        splits: Gives the shares and the seed.

    Returns:
        The split of each group.
    """
    rows, codes = int(sizes.sum()), np.full(len(sizes), TRAIN, dtype=np.int8)
    room = {VALID: round(rows * splits.valid), TEST: round(rows * splits.test)}
    for group in drawn(len(sizes), splits.seed):
        if not any(room.values()):
            break
        size = int(sizes[group])
        code = next((part for part, free in room.items() if 0 < size <= free), TRAIN)
        codes[group] = code
        if code in room:
            room[code] -= size
    return codes


def split_by(data: Any, splitter: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Split rows by a fastai splitter, such as `ColSplitter()` or `RandomSplitter(seed=42)`.

    Raises:
        InputError: the rows are of no kind that can be split so.
    """
    parts = [list(part) for part in splitter(data)]
    if isinstance(data, pd.DataFrame):
        return data.iloc[parts[0]], data.iloc[parts[1]]
    if isinstance(data, datasets.Dataset):
        return data.select(parts[0]), data.select(parts[1])
    if isinstance(data, list):
        return [data[i] for i in parts[0]], [data[i] for i in parts[1]]
    raise InputError(f"dblock_splitter splits a DataFrame, a Dataset or a list, not a {type(data).__name__}.")
