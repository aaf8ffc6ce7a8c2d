"""The values of a column, each once, and which of them each row has: rules about labels need not look at each row."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blurr.data.formats.spooled import column_of
from blurr.data.formats.tables import dataset_of

COMPARED = (  # the types whose values Arrow tells apart; of others, such as lists, each row has a value of its own
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_integer),
    *(pa.types.is_float32, pa.types.is_float64),
)

AT_ONCE = 1 << 20  # rows whose values are put together at a time


@dataclass(frozen=True)
class Distinct:
    """A column by its distinct values; a value may stand twice where two were changed into one.

    Attributes:
        values: In the order in which rows have them first.
        codes: The number of each row's value, `(rows,)`.
    """

    values: list[Any]
    codes: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, rows: datasets.Dataset, role: str) -> "Distinct":
        """Read a column."""
        table = rows.select_columns([role]).with_format("arrow")[:]
        column: pa.ChunkedArray = table.column(0)
        if not len(column) or not any(is_kind(column.type) for is_kind in COMPARED):
            return cls.each(rows.with_format(None)[role][:])
        coded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
        # by datasets, whose features say what a number stands for
        made = dataset_of(pa.table({role: coded.dictionary}), datasets.Features({role: rows.info.features[role]}))
        return cls(made.with_format(None)[role][:], coded.indices.to_numpy(zero_copy_only=False))

    @classmethod
    def each(cls, values: Sequence[Any]) -> "Distinct":
        """Take the values of rows as they are."""
        return cls(list(values), np.arange(len(values)))

    def __len__(self) -> int:
        return len(self.codes)

    def firsts(self) -> Iterator[tuple[int, Any]]:
        """Yield each value, with the number (counted from 1) of the first row that has it."""
        rows = np.full(len(self.values), -1, dtype=np.int64)
        rows[self.codes[::-1]] = np.arange(len(self.codes) - 1, -1, -1)  # of several, the last that is written stays
        found = ((row, code) for code, row in enumerate(rows.tolist()) if row >= 0)
        return ((row + 1, self.values[code]) for row, code in sorted(found))

    def count(self, is_meant: Callable[[Any], bool]) -> int:
        """Return how many rows have a value that is meant."""
        return int(self.where(is_meant).sum())

    def counted(self) -> Counter[Any]:
        """Return how many rows have each value, or each value of a list, in the order in which rows have them first."""
        found: Counter[Any] = Counter()
        sizes = np.bincount(self.codes, minlength=len(self.values)).tolist()
        for value, size in zip(self.values, sizes, strict=True):
            for each in value if isinstance(value, list) else [value]:
                found[each] += size
        return found

    def where(self, is_meant: Callable[[Any], bool]) -> NDArray[np.bool_]:
        """Return for each row whether its value is meant, `(rows,)`."""
        found: NDArray[np.bool_] = np.array([is_meant(value) for value in self.values], dtype=bool)[self.codes]
        return found

    def changed(self, change: Callable[[Any], Any]) -> "Distinct":
        """Change each value."""
        return replace(self, values=[change(value) for value in self.values])

    def array(self, feature: Any) -> pa.ChunkedArray:
        """Return the values of all rows, which stay on the disk where they are many."""
        made = datasets.Dataset.from_dict({"value": self.values}, datasets.Features({"value": feature}))
        values = made.data.column(0).combine_chunks()
        starts = range(0, max(len(self), 1), AT_ONCE)
        return column_of(
            lambda: (values.take(pa.array(self.codes[start : start + AT_ONCE])) for start in starts),
            size=values.nbytes // max(len(values), 1) * len(self),
        )
