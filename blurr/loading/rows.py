"""Encoded rows: what a task made of raw rows, held as flat arrays, one column each."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from fastai.data.transforms import CategoryMap
from numpy.typing import NDArray

from blurr.loading.columns import Column, Ragged, as_column, chosen, column_part
from blurr.loading.decoded import Decoded

IGNORED = -100  # the label that every Hugging Face loss leaves out
ROW_WEIGHT = "row_weight"  # the column of encoded rows that says how much each counts in the loss
Row = Mapping[str, Any]
Inputs = dict[str, torch.Tensor]
Batch = tuple[Inputs, torch.Tensor]
Table = list[dict[str, Any]]


class OneInput(dict[str, Any]):
    """Inputs that fastai's `Interpretation` takes for one input, not for a list of their names."""

    ndim = 0  # fastcore does not iterate what has no dimension


class Items:
    """Rows as fastai's `Interpretation` picks some of them, by `items.iloc[[3, 1]]`."""

    def __init__(self, rows: "EncodedRows") -> None:
        self.rows = rows

    @property
    def iloc(self) -> Self:
        return self

    def __getitem__(self, numbers: Sequence[int]) -> "EncodedRows":
        return self.rows.take([int(number) for number in numbers])


class InputNames(NamedTuple):
    """What a modality calls the inputs of its models.

    Attributes:
        main: The input that the model is about.
        mask: The input that tells real positions from padding; empty where the model has none.
        unit: What the lengths of rows count, such as `tokens`; empty if rows have no length, as pictures.
        beside: Further inputs that a model may embed by the same matrix as the main one.
    """

    main: str = ""
    mask: str = ""
    unit: str = ""
    beside: tuple[str, ...] = ()


class EncodedRows:
    """Encoded rows; row `i` is a dict of one array or number per column.

    Args:
        columns: Name to values: lists of integers become `Ragged`, numbers a NumPy array.
        vocab: Names of the labels, if the task has labels.

    Attributes:
        names: What the inputs are called; each modality has a subclass with its own, and its rows may have others.
        is_picked: They are some of others, in an order that somebody asked for.
        rate: Units of length in a second, of rows that last, such as sounds.
        is_drawn: A training batch has the column `seeds`, see `draws.row_seeds`, from which rows are changed at random.
    """

    is_picked = False
    rate = 0
    is_drawn: ClassVar[bool] = False
    n_inp = 1  # fastai: of a batch `(inputs, targets)` the first element is input
    names: InputNames = InputNames()

    def __init__(self, columns: Mapping[str, Sequence[Any] | Column], vocab: list[str] | None = None) -> None:
        self.columns = {name: as_column(values) for name, values in columns.items()}
        # a list would be one vocabulary for each target to fastai
        self.vocab = CategoryMap(vocab, sort=False) if isinstance(vocab, list) else vocab

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self.columns.items()}

    def take(self, numbers: Sequence[int]) -> Self:
        """Return the rows with these numbers, in this order, which loaders keep when they evaluate."""
        taken = copy(self)
        taken.is_picked = True
        taken.columns = {name: chosen(values, numbers) for name, values in self.columns.items()}
        return taken

    @property
    def lengths(self) -> NDArray[np.integer[Any]]:
        """Length of each row, `(rows,)`; `(rows, 2)` if targets are padded separately from the sources."""
        main, target = self.columns.get(self.names.main), self.columns.get("labels")
        if not isinstance(main, Ragged):
            return self._lengths_of_files()
        if not isinstance(target, Ragged) or np.array_equal(target.offsets, main.offsets):
            return main.lengths
        return np.stack([main.lengths, target.lengths], axis=1)

    def _lengths_of_files(self) -> NDArray[np.integer[Any]]:
        """Return the lengths of what is decoded; 1 for each row where all are as long."""
        found = [column.lengths for column in self.decoded.values() if column.lengths is not None]
        return found[0] if found and self.names.unit else np.ones(len(self), dtype=np.int64)

    @property
    def decoded(self) -> dict[str, Decoded]:
        """The columns that are decoded of files."""
        return {name: column for name, column in self.columns.items() if isinstance(column, Decoded)}

    @property
    def gigabytes(self) -> float:
        """What `keep` takes on the disk."""
        return sum(column.gigabytes for column in self.decoded.values())

    def keep(self) -> None:
        """Keep on disk what is decoded of files, from the first time that it is made."""
        self.columns |= {name: column.keeping() for name, column in self.decoded.items()}

    @property
    def seconds_to_make(self) -> float:
        """Seconds of one processor that a pass over the rows takes to make them, as far as they are not kept."""
        return sum(column.seconds_to_make for column in self.decoded.values())

    def part(self, numbers: range, *, before: int = 0) -> Self:
        """Return rows that follow each other, which share their memory with all of them.

        Args:
            numbers: Of the rows.
            before: Number of the raw rows before those that they come from.
        """
        some = copy(self)
        some.columns = {name: column_part(values, numbers) for name, values in self.columns.items()}
        if "row" in some.columns:
            some.columns["row"] = np.asarray(some.columns["row"]) - before
        return some

    def new_empty(self) -> "EncodedRows":
        """Return rows of the same kind with nothing in them, as fastai's `export` asks for."""
        return type(self)({}, self.vocab)


def in_order(order: Iterable[int], values: Sequence[Any]) -> list[Any]:
    """Put values that came in the order of the batches back into the order of the encoded rows."""
    result: list[Any] = [None] * len(values)
    for index, value in zip(order, values, strict=True):
        result[index] = value
    return result


def by_row(rows: EncodedRows, values: Sequence[Any], n: int) -> list[list[Any]]:
    """Group values of encoded rows by the row they come from: one each, or several windows (column `row`)."""
    source = rows.columns.get("row", range(len(values)))
    groups: list[list[Any]] = [[] for _ in range(n)]
    for row, value in zip(source, values, strict=True):
        groups[int(row)].append(value)
    return groups
