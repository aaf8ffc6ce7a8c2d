"""Columns of encoded rows: flat arrays, which take little memory and map from disk, or values made when read."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Ragged:
    """A column of integer sequences of different lengths: one flat array and the offsets into it."""

    def __init__(self, flat: NDArray[np.int32], offsets: NDArray[np.int64]) -> None:
        self.flat, self.offsets = flat, offsets

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "Ragged":
        """Concatenate sequences."""
        lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(np.fromiter((i for s in sequences for i in s), dtype=np.int32, count=int(offsets[-1])), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The length of each sequence, in 32 bits, since there may be many of them."""
        found = np.empty(len(self), dtype=np.int32)
        return np.subtract(self.offsets[1:], self.offsets[:-1], out=found, casting="unsafe")


class Made(ABC):
    """A column whose values are made when they are read, such as the pixels of picture files."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> NDArray[Any]: ...

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    @abstractmethod
    def take(self, numbers: Sequence[int]) -> Self:
        """Return the values with these numbers, in this order."""


Column = Ragged | Made | NDArray[Any]


def as_column(values: Sequence[Any] | Column) -> Column:
    """Convert values to flat arrays: sequences of integers to `Ragged`, numbers and vectors of floats to NumPy.

    Numbers keep 64 bits: they may be targets, which are scored exactly as the data has them.
    """
    if isinstance(values, (Ragged, Made, np.ndarray)):
        return values
    if len(values) and isinstance(values[0], list | np.ndarray) and not any(isinstance(v, float) for v in values[0]):
        return Ragged.of(values)
    if len(values) and isinstance(values[0], float):
        return np.asarray(values, dtype=np.float64)
    return np.asarray(
        values, dtype=np.float32 if len(values) and isinstance(values[0], list | np.ndarray) else np.int64
    )


def merged(parts: Iterable[Mapping[str, Sequence[Any] | Column]]) -> dict[str, Column]:
    """Put the columns of rows that were encoded in parts one after the other."""
    found: dict[str, list[Column]] = {}
    for part in parts:
        for name, values in part.items():
            found.setdefault(name, []).append(as_column(values))
    return {name: _one_after_the_other(columns) for name, columns in found.items()}


def _one_after_the_other(columns: list[Column]) -> Column:
    filled = [column for column in columns if len(column)] or columns[:1]
    if len(filled) == 1:
        return filled[0]
    ragged = [column for column in filled if isinstance(column, Ragged)]
    if ragged:
        lengths = np.concatenate([column.lengths for column in ragged])
        return Ragged(np.concatenate([column.flat for column in ragged]), np.concatenate([[0], np.cumsum(lengths)]))
    return np.concatenate([np.asarray(column) for column in filled])


def chosen(column: Column, numbers: Sequence[int]) -> Column:
    """Return the values of a column at these numbers."""
    if isinstance(column, Ragged):
        return Ragged.of([column[i].tolist() for i in numbers])
    if isinstance(column, Made):
        return column.take(numbers)
    return column[list(numbers)]


def column_part(column: Column, numbers: range) -> Column:
    """Return the values of a column at numbers that follow each other, without a copy."""
    if isinstance(column, Ragged):
        return Ragged(column.flat, column.offsets[numbers.start : numbers.stop + 1])
    if isinstance(column, Made):
        return column.take(numbers)
    return column[numbers.start : numbers.stop]
