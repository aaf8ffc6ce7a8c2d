"""Encode a split once, and find it again in the cache as long as nothing that it is made of has changed."""

import inspect
import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import tokenizers
import transformers
from datasets import Dataset

import blurr.loading
from blurr.data.core import RawData
from blurr.data.naming import WEIGHT
from blurr.loading.cache import cached, hash_of_code, key_of
from blurr.loading.columns import merged
from blurr.loading.loader import Loader
from blurr.loading.rows import ROW_WEIGHT, EncodedRows
from blurr.models.inputs import ModalityInputs
from blurr.models.objects import HFObjects

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000  # whose texts and tokens are in memory while a split is encoded


class Encoder(Protocol):
    """What is asked of a task here; it is a dataclass, whose fields are part of the key."""

    @property
    def inputs(self) -> ModalityInputs: ...

    def encode_parts(
        self, parts: Sequence[Mapping[str, Sequence[Any]]], hf: HFObjects
    ) -> Iterator[Mapping[str, Any]]: ...

    def make_rows(
        self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects
    ) -> EncodedRows: ...


class ColumnsOf(Mapping[str, Sequence[Any]]):
    """The columns of a data set, each read on first access: a cache hit needs few of them.

    Args:
        rows: The data set.
        is_whole: Read a column as a whole, which takes memory and is fast, not value by value.
    """

    def __init__(self, rows: Dataset, *, is_whole: bool = True) -> None:
        self.rows, self.is_whole = rows, is_whole
        self.read: dict[str, Sequence[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self.rows.column_names:
            raise KeyError(name)  # as `get` wants it
        if name not in self.read:
            is_file = isinstance(self.rows.features[name], dict)  # too large to have in memory, and read one by one
            one_by_one = is_file or not self.is_whole
            self.read[name] = self.rows.select_columns([name])[name] if one_by_one else self.rows[name][:]
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows.column_names)

    def __len__(self) -> int:
        return len(self.rows.column_names)


class RowParts(Sequence[ColumnsOf]):
    """The columns of a data set a few thousand rows at a time; of files, which are not read here, all at once."""

    def __init__(self, columns: ColumnsOf) -> None:
        self.columns, self.rows = columns, columns.rows
        has_files = any(isinstance(feature, dict) for feature in self.rows.features.values())
        self.is_one = has_files or len(self.rows) <= ROWS_AT_ONCE

    def __len__(self) -> int:
        return 1 if self.is_one else math.ceil(len(self.rows) / ROWS_AT_ONCE)

    @overload
    def __getitem__(self, index: int) -> ColumnsOf: ...

    @overload
    def __getitem__(self, index: slice) -> list[ColumnsOf]: ...

    def __getitem__(self, index: int | slice) -> ColumnsOf | list[ColumnsOf]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = ROWS_AT_ONCE * range(len(self))[index]
        stop = min(start + ROWS_AT_ONCE, len(self.rows))
        return self.columns if self.is_one else ColumnsOf(self.rows.select(range(start, stop)))


def ingredients_of(task: Encoder, raw: RawData, hf: HFObjects) -> dict[str, Any] | None:
    """Return all that the encoded rows of all splits are made of; `None` where that cannot be told."""
    fields: Any = task
    values = asdict(fields)
    if callable(values.get("loss")):  # which encodes nothing, and shows its address
        values["loss"] = "auto"
    settings = json.dumps(values, sort_keys=True, default=repr)
    if " at 0x" in settings:  # an object that only shows its address would never be found again
        return None
    return {
        "rows": raw.fingerprint,
        "task": [type(task).__qualname__, settings],
        "processor": task.inputs.describe(hf.processor),
        "config": {k: v for k, v in hf.config.to_diff_dict().items() if not k.startswith("_")},
        "code": [_hash_of_folder(of) for of in (blurr.loading, type(task), type(task.inputs))],
        "versions": [transformers.__version__, tokenizers.__version__],
    }


def encoded_rows(
    task: Encoder, raw: RawData, split: str, hf: HFObjects, *, ingredients: Mapping[str, Any] | None
) -> EncodedRows:
    """Encode a split, or take it from the cache.

    Args:
        task: Whose `encode` is asked.
        raw: The rows.
        split: Which of them.
        hf: Processor and config.
        ingredients: See `ingredients_of`; `None` does without the cache.
    """
    columns = ColumnsOf(raw.splits[split])

    def encode() -> Iterator[Mapping[str, Sequence[Any]]]:
        return task.encode_parts(RowParts(columns), hf)

    if ingredients is None:
        encoded: Mapping[str, Any] = merged(encode())
    else:
        about = f"{type(task).__name__} {hf.arch}, {split} of {raw.source}"
        encoded = cached(key_of({**ingredients, "split": split}), about, encode)
    given = raw.splits[split]
    rows = task.make_rows(encoded, ColumnsOf(given, is_whole=len(given) <= ROWS_AT_ONCE), hf)
    if split == "train" and WEIGHT in columns:
        weights = given.select_columns([WEIGHT]).with_format("arrow")[:].column(0).to_numpy().astype(np.float32)
        # of each window, where rows are cut into several
        rows.columns[ROW_WEIGHT] = weights[rows.columns["row"]] if "row" in rows.columns else weights
    return rows


def encoded_splits(task: Encoder, raw: RawData, hf: HFObjects, *, cache: bool) -> dict[str, EncodedRows]:
    """Encode every split once, in the order of `raw.ordered_splits`.

    Args:
        task: Whose `encode` is asked.
        raw: The rows.
        hf: Processor and config.
        cache: Look into the cache, and store there what it did not have.
    """
    ingredients = ingredients_of(task, raw, hf) if cache else None
    return {split: encoded_rows(task, raw, split, hf, ingredients=ingredients) for split in raw.ordered_splits}


def keep(splits: Iterable[EncodedRows], loader: Loader) -> None:
    """Keep what is decoded of the rows on disk, if all of it fits."""
    splits = list(splits)
    needed = sum(rows.gigabytes for rows in splits)
    if needed <= loader.cache_gb and loader.cache:
        for rows in splits:
            rows.keep()
    elif loader.cache:
        log.warning(
            "Each epoch decodes all rows anew: decoded, they take %.1f GB, and loader.cache_gb=%g allows less.",
            *(needed, loader.cache_gb),
        )


@lru_cache(maxsize=16)
def _hash_of_folder(of: Any) -> str:
    """Hash the code in the folder of a module or class: rows that other code encoded are not taken from the cache."""
    return hash_of_code(Path(inspect.getfile(of)).parent)
