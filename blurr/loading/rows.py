"""Put tokenized rows into padded batches of similar length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from blurr.config.annotations import BatchRows, Count, Multiple, Seed, Workers
from blurr.errors import InputError
from blurr.loading.bucketing import BatchSize
from blurr.loading.columns import Ragged, as_column

IGNORED = -100  # the label that every Hugging Face loss leaves out
Row = Mapping[str, Any]
Batch = tuple[dict[str, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Loader:
    """How rows become batches.

    Args:
        batch_size: rows in a training batch; `auto` finds out how many the memory holds, see
            `blurr.training.batch_size`.
        eval_batch_size: rows in a validation or test batch; `None` means twice `batch_size`.
        max_tokens: instead of a number of rows, the tokens of a batch, padding included; `null` counts rows.
        num_workers: processes that collate; 0 is the fastest for tokenized text.
        pin_memory: collate into memory from which a GPU copies without waiting.
        pad_to_multiple_of: round the padded length up to a multiple of this, for tensor cores.
        bucket: put rows of similar length together; `False` gives plain random batches.
        seed: seed of the order of the batches.
        cache: keep what the tokenizer made, for the next run on the same texts; see `blurr.loading.cache`.
    """

    batch_size: BatchRows | Literal["auto"] = 16
    eval_batch_size: BatchRows | None = None
    max_tokens: Count | None = None
    num_workers: Workers = 0
    pin_memory: bool = False
    pad_to_multiple_of: Multiple | None = None
    bucket: bool = True
    seed: Seed = 42
    cache: bool = True

    def size(self, *, train: bool) -> BatchSize:
        """Say how much makes a batch of training or of evaluation.

        Raises:
            InputError: it has not been found out yet.
        """
        if self.batch_size == "auto":
            raise InputError("batch_size=auto is found out by `blurr run`, in its training alone; give a number here.")
        rows = self.batch_size if train else self.eval_batch_size or 2 * self.batch_size
        return BatchSize(rows, self.max_tokens)


class TokenizedRows:
    """Tokenized rows, held as flat arrays; row `i` is a dict of one array or number per column.

    Args:
        columns: name to values: lists of integers become `Ragged`, numbers a NumPy array.
        vocab: names of the labels, where the task has labels.
    """

    n_inp = 1  # fastai: of a batch `(inputs, targets)` the first element is input

    def __init__(self, columns: Mapping[str, Sequence[Any]], vocab: list[str] | None = None) -> None:
        self.columns = {name: as_column(values) for name, values in columns.items()}
        self.vocab = vocab

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self.columns.items()}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, `(rows,)`; `(rows, 2)` where it has a target that is padded apart from the source."""
        ids, target = self.columns.get("input_ids"), self.columns.get("labels")
        if not isinstance(ids, Ragged):
            return np.zeros(len(self), dtype=np.int64)
        if not isinstance(target, Ragged) or np.array_equal(target.offsets, ids.offsets):
            return ids.lengths
        return np.stack([ids.lengths, target.lengths], axis=1)

    def new_empty(self) -> "TokenizedRows":
        """Give rows of the same kind with nothing in them, as fastai's `export` asks for."""
        return TokenizedRows({}, self.vocab)


def in_order(order: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Put values that came in the order of the batches back into the order of the tokenized rows."""
    result: list[Any] = [None] * len(values)
    for index, value in zip(order, values, strict=True):
        result[index] = value
    return result


def by_row(rows: TokenizedRows, values: Sequence[Any], n: int) -> list[list[Any]]:
    """Group values of tokenized rows by the row they come from: one each, or several windows (column `row`)."""
    source = rows.columns.get("row", range(len(values)))
    groups: list[list[Any]] = [[] for _ in range(n)]
    for row, value in zip(source, values, strict=True):
        groups[int(row)].append(value)
    return groups


class PaddingCollator:
    """Pad tokenized rows to the longest of the batch; works in any `torch.utils.data.DataLoader`.

    Returns of a call: `(inputs, targets)`; `inputs` holds `input_ids` and `attention_mask`, both `(batch, sequence)`,
    whatever else the rows have, and `labels`, equal to the targets: `(batch,)` or `(batch, sequence)`, padded by -100.

    Args:
        pad_token_id: what pads `input_ids`.
        padding_side: `right` or `left`.
        pad_to_multiple_of: round the padded length up to a multiple of this.
    """

    def __init__(
        self, pad_token_id: int, *, padding_side: str = "right", pad_to_multiple_of: int | None = None
    ) -> None:
        self.pad_values = {"input_ids": pad_token_id, "labels": IGNORED}
        self.left = padding_side == "left"
        self.multiple = pad_to_multiple_of or 1

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs = {name: self._stack(name, [row[name] for row in rows]) for name in rows[0]}
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        width = inputs["input_ids"].shape[1]
        positions = torch.arange(width)
        mask = positions >= width - lengths[:, None] if self.left else positions < lengths[:, None]
        inputs["attention_mask"] = mask.long()
        if "labels" not in inputs:
            return inputs, torch.empty(len(rows), 0)
        return inputs, inputs["labels"]

    def _stack(self, name: str, values: list[Any]) -> torch.Tensor:
        if np.ndim(values[0]) == 0 or np.asarray(values[0]).dtype.kind == "f":
            return torch.as_tensor(np.asarray(values))
        width = -(-max(len(v) for v in values) // self.multiple) * self.multiple
        padded = np.full((len(values), max(width, 1)), self.pad_values.get(name, 0), dtype=np.int64)
        for i, v in enumerate(values):
            padded[i, len(padded[i]) - len(v) if self.left and name != "labels" else 0 :][: len(v)] = v
        return torch.from_numpy(padded)
