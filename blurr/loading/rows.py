"""Put tokenized rows into padded batches of similar length."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blurr.loading.columns import Ragged, as_column

IGNORED = -100  # the label that every Hugging Face loss leaves out
Row = Mapping[str, Any]
Batch = tuple[dict[str, torch.Tensor], torch.Tensor]


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


Inputs = dict[str, torch.Tensor]


Table = list[dict[str, Any]]
