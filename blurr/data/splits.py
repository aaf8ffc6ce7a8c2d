"""Take validation and test rows out of one set of rows; every way means the same for every source."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

import datasets
import numpy as np
import pandas as pd

from blurr.config.annotations import Fraction, Natural, Parts, Seed
from blurr.data.media import hashes, media_columns
from blurr.data.naming import MEANINGS, split_name
from blurr.data.sources import FILE_COLUMN
from blurr.errors import InputError, nearest

VALID_COLUMN = "is_valid"

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

Names = list[str | None]
"""One entry per row: `train`, `valid`, `test`, or None for a row that is in no split."""


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
    if by not in WAYS:
        raise InputError(f"data.splits.by={by} is not a way to split.{nearest(by, WAYS)} There are {sorted(WAYS)}.")
    names = WAYS[by](rows, splits, label, inputs)
    parts = {part: [row for row, name in enumerate(names) if name == part] for part in MEANINGS}
    for part in ("train", "valid"):
        if not parts[part]:
            why = _why_empty(rows, by, [_column(rows, splits)] if by == "group" else inputs)
            raise InputError(
                f"Splitting {rows.num_rows} rows with data.splits.by={by} leaves none for {part!r}.{why} Give "
                "data.valid, change data.splits, or give more rows (data.format=lines takes each line of a text file "
                "as a row)."
            )
    # an array, since datasets hashes what it is given, and takes seconds for a long list
    return {part: rows.select(np.asarray(chosen)) for part, chosen in parts.items() if chosen}


def _why_empty(rows: datasets.Dataset, by: str, columns: Sequence[str]) -> str:
    """Say that rows which must stay together are too few groups to split, where that is the reason."""
    count = len(_groups(rows, columns)) if by in ("random", "stratified", "group", "kfold") else rows.num_rows
    if count == rows.num_rows:
        return ""
    what = ", ".join(map(repr, columns))
    return f" Only {count} of them differ in {what}, and rows that are equal in it are never parted."


def _has_test_folder(rows: datasets.Dataset) -> bool:
    """Return whether files of media lie in folders named train and test, and in no other."""
    if not media_columns(rows) or VALID_COLUMN in rows.column_names or FILE_COLUMN not in rows.column_names:
        return False
    return set(_folder_names(rows)) == {"train", "test"}


def _beside_test_folder(
    rows: datasets.Dataset, splits: Splits, *, label: str | None, inputs: Sequence[str]
) -> dict[str, datasets.Dataset]:
    """Take validation rows from the folder named train, and leave the one named test alone."""
    names = _folder_names(rows)
    train, test = ([row for row, name in enumerate(names) if name == part] for part in ("train", "test"))
    drawn = replace(splits, by="random", test=0.0)
    return {**split_rows(rows.select(train), drawn, label=label, inputs=inputs), "test": rows.select(test)}


def _chosen_way(rows: datasets.Dataset) -> str:
    if VALID_COLUMN in rows.column_names:
        return "column"
    if FILE_COLUMN in rows.column_names and {"train", "valid"} <= set(_folder_names(rows)):
        return "folder"
    return "random"


def _by_column(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    column = VALID_COLUMN if splits.by == "auto" else _column(rows, splits)
    return [_named_split(value, column, row) for row, value in enumerate(rows.with_format(None)[column][:])]


def _named_split(value: object, column: str, row: int) -> str:
    text = str(value).strip().lower()
    if text in TRUE or text in FALSE:
        return "valid" if text in TRUE else "train"
    meant = split_name(text)
    if meant is None:
        raise InputError(
            f"The column {column!r} says {value!r} in row {row + 1} (counted from 1). It must say true or false "
            "(is this row for validation?), or train, valid or test."
        )
    return meant


def _by_index(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    chosen = set(splits.index or ())
    beyond = sorted(row for row in chosen if not 0 <= row < rows.num_rows)
    if beyond:
        raise InputError(f"data.splits.index names row {beyond[0]}, but the rows are 0 to {rows.num_rows - 1}.")
    return ["valid" if row in chosen else "train" for row in range(rows.num_rows)]


def _by_folder(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    if FILE_COLUMN not in rows.column_names:
        raise InputError(
            "data.splits.by=folder needs rows that come from several files. Give a folder as data.train, with folders "
            "or files named train and valid in it."
        )
    return _folder_names(rows)


def _folder_names(rows: datasets.Dataset) -> Names:
    files = rows.with_format(None)[FILE_COLUMN][:]
    meant = {file: split_name(PurePath(PurePath(str(file)).parts[0]).stem) for file in set(files)}
    return [meant[file] for file in files]


def _by_random(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    return _drawn(_groups(rows, inputs), splits)


def _by_group(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    return _drawn(_groups(rows, [_column(rows, splits)]), splits)


def _by_stratified(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    if label is None or label not in rows.column_names:
        raise InputError("data.splits.by=stratified needs labels, and this task's rows have none. Use by=random.")
    labels = rows.with_format(None)[label][:]
    if any(isinstance(value, float | list | dict) for value in labels):
        raise InputError(
            "data.splits.by=stratified needs one class per row as label, not numbers or lists. Use by=random."
        )
    strata: dict[Any, list[list[int]]] = {}
    for group in _groups(rows, inputs):
        strata.setdefault(labels[group[0]], []).append(group)
    names: Names = [None] * rows.num_rows
    for groups in strata.values():
        for row, name in enumerate(_drawn(groups, splits, total=rows.num_rows)):
            names[row] = name or names[row]
    return names


def _by_kfold(rows: datasets.Dataset, splits: Splits, label: str | None, inputs: Sequence[str]) -> Names:
    if splits.fold >= splits.folds:
        raise InputError(
            f"data.splits.fold={splits.fold} is not one of 0 to {splits.folds - 1} (data.splits.folds={splits.folds})."
        )
    names: Names = ["train"] * rows.num_rows
    groups = _groups(rows, inputs)
    random.Random(splits.seed).shuffle(groups)
    before = 0
    for group in groups:
        fold = before * splits.folds // rows.num_rows
        before += len(group)
        for row in group if fold == splits.fold else ():
            names[row] = "valid"
    return names


WAYS: dict[str, Callable[[datasets.Dataset, Splits, str | None, Sequence[str]], Names]] = {
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


def _groups(rows: datasets.Dataset, columns: Sequence[str]) -> list[list[int]]:
    """Gather the numbers of the rows that are equal in these columns."""
    groups: dict[str, list[int]] = {}
    plain, media = rows.with_format(None), media_columns(rows)
    cells = [hashes(rows, column) if column in media else plain[column][:] for column in columns]
    for row, values in enumerate(zip(*cells, strict=True)):
        groups.setdefault(repr(values), []).append(row)
    return list(groups.values())


def _drawn(groups: list[list[int]], splits: Splits, *, total: int | None = None) -> Names:
    """Draw whole groups until validation and test have their share; what would overfill a split stays in train.

    Args:
        groups: Numbers of the rows that must stay together.
        splits: Gives the shares and the seed.
        total: Length of the result when the groups do not hold every row; rows of no group stay None.
    """
    rows = sum(len(group) for group in groups)
    names: Names = [None] * (total or rows)
    room = {"valid": round(rows * splits.valid), "test": round(rows * splits.test)}
    for group in random.Random(splits.seed).sample(groups, len(groups)):
        name = next((part for part, free in room.items() if 0 < len(group) <= free), "train")
        if name in room:
            room[name] -= len(group)
        for row in group:
            names[row] = name
    return names


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
