"""Pick rows of a data set so that many of them lie one after the other on the disk.

`datasets` keeps the numbers of picked rows beside the table, and puts a column of them together from a slice for each
row, which takes a kilobyte.
"""

from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blurr.data.formats.spooled import on_disk
from blurr.data.formats.tables import dataset_of

AT_ONCE = 10_000  # rows that are gathered at a time
OF_A_SLICE = 1000  # bytes


def picked(rows: datasets.Dataset, numbers: NDArray[np.integer[Any]]) -> datasets.Dataset:
    """Return the rows with these numbers, which ascend."""
    rows = in_one_piece(rows)
    table = rows.data.table

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in table.to_batches():
            first, end = np.searchsorted(numbers, (start, start + batch.num_rows))
            if end > first:
                yield batch.take(pa.array(numbers[first:end] - start))
            start += batch.num_rows

    kept = None if _is_picked(rows) else on_disk("a split", _size(rows, len(numbers)), batches)
    return rows.select(numbers) if kept is None else dataset_of(kept, rows.info.features)


def in_one_piece(rows: datasets.Dataset) -> datasets.Dataset:
    """Return rows that lie one after the other if they are many, as those that a filter has left do not."""
    if not _is_picked(rows):
        return rows

    def batches() -> Iterator[pa.RecordBatch]:
        for table in rows.with_format("arrow").iter(AT_ONCE):
            yield from table.to_batches()

    kept = on_disk("a split", _size(rows, len(rows)), batches)
    return rows if kept is None else dataset_of(kept, rows.info.features)


def _is_picked(rows: datasets.Dataset) -> bool:
    return rows._indices is not None  # of which `datasets` says nothing in public


def _size(rows: datasets.Dataset, count: int) -> int:
    """Return the bytes that so many of the rows take where they are put together from slices, about."""
    of_a_row: int = rows.data.nbytes // max(rows.data.num_rows, 1)
    return count * (OF_A_SLICE + of_a_row)
