"""Tokenize a split once, and find it again in the cache as long as nothing that it is made of has changed."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers
import transformers
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

import blurr.loading.dataloader
import blurr.loading.rows
import blurr.text.special_tokens
from blurr.data.core import RawData
from blurr.loading.cache import cached, hash_of_code, key_of
from blurr.loading.rows import Table, TokenizedRows
from blurr.models.objects import HFObjects
from blurr.text.special_tokens import hidden_tokens

if TYPE_CHECKING:
    from blurr.tasks.base import Task

# what of a tokenizer's file its last call has left there
STATE_OF_CALLS = ("truncation", "padding")


class ColumnsOf(Mapping[str, Sequence[Any]]):
    """The columns of a data set, each read only when somebody asks for it: a cache hit asks for few."""

    def __init__(self, rows: Dataset) -> None:
        self.rows = rows
        self.read: dict[str, Sequence[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self.rows.column_names:
            raise KeyError(name)  # as `get` wants it
        if name not in self.read:
            self.read[name] = self.rows[name][:]
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows.column_names)

    def __len__(self) -> int:
        return len(self.rows.column_names)


def ingredients_of(task: "Task", raw: RawData, hf: HFObjects) -> dict[str, Any] | None:
    """Give all that the tokenized rows of all splits are made of; `None` where that cannot be told."""
    settings = json.dumps(asdict(task), sort_keys=True, default=repr)
    if " at 0x" in settings:  # an object that says nothing of itself but its address would never be found again
        return None
    return {
        "rows": raw.fingerprint,
        "task": [type(task).__qualname__, settings],
        "tokenizer": description_of(hf.tokenizer),
        "config": {k: v for k, v in hf.config.to_diff_dict().items() if not k.startswith("_")},
        "code": [_hash_of_blurr(), hash_of_code(Path(inspect.getfile(type(task))).parent)],
        "versions": [transformers.__version__, tokenizers.__version__],
    }


def tokenized_rows(
    task: "Task", raw: RawData, split: str, hf: HFObjects, *, ingredients: Mapping[str, Any] | None
) -> TokenizedRows:
    """Tokenize a split, or take it from the cache.

    Args:
        task: whose `tokenize` is asked.
        raw: the rows.
        split: which of them.
        hf: tokenizer and config.
        ingredients: see `ingredients_of`; `None` leaves the cache alone.
    """
    columns = ColumnsOf(raw.splits[split])
    if ingredients is None:
        return task.encode(columns, hf)
    about = f"{type(task).__name__} {hf.arch}, {split} of {raw.source}"
    key = key_of({**ingredients, "split": split})
    return task.hold(cached(key, about, lambda: task.tokenize(columns, hf)), columns, hf)


def tokenized_splits(task: "Task", raw: RawData, hf: HFObjects, *, cache: bool) -> dict[str, TokenizedRows]:
    """Tokenize every split once, in the order of `raw.ordered_splits`.

    Args:
        task: whose `tokenize` is asked.
        raw: the rows.
        hf: tokenizer and config.
        cache: look into the cache, and leave there what was not in it.

    Raises:
        InputError: rows are asked for that are longer than the model can read.
    """
    task.check_lengths(hf)
    ingredients = ingredients_of(task, raw, hf) if cache else None
    return {split: tokenized_rows(task, raw, split, hf, ingredients=ingredients) for split in raw.ordered_splits}


def description_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Give all that decides what a tokenizer makes of a text, besides the arguments of the call."""
    if tokenizer.is_fast:
        model = json.loads(tokenizer.backend_tokenizer.to_str())
        model = {name: value for name, value in model.items() if name not in STATE_OF_CALLS}
    else:
        model = {**tokenizer.init_kwargs, "vocab": tokenizer.get_vocab()}
    return {
        "class": type(tokenizer).__name__,
        "model": model,
        "special": tokenizer.special_tokens_map,
        "length": tokenizer.model_max_length,
        "hidden": sorted(hidden_tokens(tokenizer)),
        "sides": [tokenizer.padding_side, tokenizer.truncation_side],
    }


@lru_cache(maxsize=1)
def _hash_of_blurr() -> str:
    modules = (blurr.loading.rows, blurr.loading.dataloader, blurr.text.special_tokens)
    return hash_of_code(*(Path(inspect.getfile(module)).parent for module in modules))


def with_token_counts(rows: Table, tokenized: TokenizedRows) -> Table:
    """Add to each row its `token_count`, of all its windows together, and that of a target apart from the source."""
    lengths = tokenized.lengths.reshape(len(tokenized), -1)
    if len(lengths) != len(rows):
        lengths = np.bincount(np.asarray(tokenized.columns["row"]), lengths[:, 0], len(rows))[:, None]
    names = ("token_count", "target_token_count")[: lengths.shape[1]]
    counts = [dict(zip(names, map(int, each), strict=True)) for each in lengths]
    return [{**row, **count} for row, count in zip(rows, counts, strict=True)]
