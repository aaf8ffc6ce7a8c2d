"""Decide which rows make a batch: rows of similar length, in an order that depends on seed and epoch alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from blurr.config.annotations import Count

Order = NDArray[np.integer[Any]]
POOL = 256  # batches within which rows are sorted; more of them pad less, and mix less from epoch to epoch
AT_ONCE = 4096  # batches that are put one after the other at a time
STEP = 0.04  # lengths that differ by less than this share count as equal if there is a second length to sort by


@dataclass(frozen=True)
class BatchSize:
    """How much makes a batch.

    Args:
        rows: Number of rows.
        tokens: Instead, as many rows as fit into this many tokens with padding; a longer row is a batch of its own.
    """

    rows: Count
    tokens: Count | None = None


class Batches(Sequence[Order]):
    """The numbers of the rows of each batch, in one array, so that millions of batches take little memory.

    Args:
        flat: The numbers of the rows of all batches.
        starts: Where each batch begins in it, `(batches,)`.
        stops: Where it ends.
    """

    def __init__(self, flat: Order, starts: Order, stops: Order) -> None:
        self.flat, self.starts, self.stops = flat, starts, stops

    @classmethod
    def cut(cls, flat: Order, ends: Order) -> Self:
        """Cut rows into batches, each of which ends before one of these places."""
        return cls(flat, np.concatenate([[0], ends]).astype(np.int64)[:-1], ends)

    @classmethod
    def even(cls, flat: Order, size: int) -> Self:
        """Cut rows into batches of one size; the last may be smaller."""
        return cls.cut(flat, _ends(len(flat), size)) if len(flat) else cls(flat, flat[:0], flat[:0])

    @property
    def sizes(self) -> Order:
        """The number of rows of each batch."""
        return self.stops - self.starts

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Order: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Order | Self:
        return self.chosen(index) if isinstance(index, slice) else self.flat[self.starts[index] : self.stops[index]]

    def chosen(self, which: slice | NDArray[Any]) -> Self:
        """Return some of the batches."""
        return type(self)(self.flat, self.starts[which], self.stops[which])

    @property
    def rows(self) -> Order:
        """The numbers of the rows, one batch after the other."""
        if np.array_equal(self.starts[1:], self.stops[:-1]):
            return self.flat[slice(self.starts[0], self.stops[-1])] if len(self) else self.flat[:0]
        blocks = (self[start : start + AT_ONCE] for start in range(0, len(self), AT_ONCE))
        return np.concatenate([np.concatenate(list(block)) for block in blocks])

    def of(self, rows: Order) -> Self:
        """Return the same batches of other rows, of which the numbers say which."""
        return self.cut(rows[self.rows], np.cumsum(self.sizes))

    def joined(self, least: int) -> Self:
        """Join a batch of fewer rows than this with the one before it."""
        sizes: list[int] = []
        for size in self.sizes.tolist():
            if sizes and min(size, sizes[-1]) < least:
                sizes[-1] += size
            else:
                sizes.append(size)
        return self.cut(self.rows, np.cumsum(sizes, dtype=np.int64))

    def padded(self, lengths: NDArray[np.integer[Any]]) -> Order:
        """Return the tokens of each batch, padding included.

        Args:
            lengths: Of all rows, `(rows, n)`, each of which is padded by itself.
        """
        ends = np.cumsum(self.sizes)
        longest = [np.maximum.reduceat(column[self.rows], ends - self.sizes) for column in lengths.T]
        return self.sizes * sum(each.astype(np.int64) for each in longest)


def numbered(rows: int) -> Order:
    """Return the numbers of so many rows, in 32 bits wherever these suffice: there may be many."""
    return np.arange(rows, dtype=np.int32 if rows < np.iinfo(np.int32).max else np.int64)


def _ends(rows: int, size: int) -> Order:
    return np.append(np.arange(size, rows, size), rows)


class Buckets:
    """Rows by their lengths.

    Args:
        lengths: `(rows,)` in tokens, or `(rows, 2)` if source and target are padded separately.
        size: Size of a batch.
    """

    def __init__(self, lengths: NDArray[np.integer[Any]], size: BatchSize) -> None:
        self.lengths = lengths if lengths.ndim == 2 else lengths[:, None]
        self.size = size

    def training(self, *, seed: int, epoch: int) -> Batches:
        """Return the batches of an epoch: similar lengths within each, and the batches in random order.

        Rows are shuffled, cut into pools, sorted within a pool and cut into batches, and the batches are shuffled. The
        one with the most tokens comes first, so that a lack of memory shows at once; an incomplete one comes last.
        """
        rng = np.random.default_rng([seed, epoch])
        shuffled = rng.permutation(numbered(len(self.lengths)))
        batches = self._in_runs(shuffled, _ends(len(shuffled), self._rows_in_a_pool()))
        is_incomplete = self.size.tokens is None and len(shuffled) % self.size.rows
        count = len(batches) - bool(is_incomplete)
        mixed = rng.permutation(count)
        if count:
            largest = int(np.argmax(batches.padded(self.lengths)[mixed]))
            mixed[[0, largest]] = mixed[[largest, 0]]
        return batches.chosen(np.append(mixed, np.arange(count, len(batches))))

    def evaluation(self) -> Batches:
        """Return the batches of one pass over all rows, the longest first."""
        return self._in_runs(numbered(len(self.lengths)), np.array([len(self.lengths)]))

    def of_one_length(self) -> Batches:
        """Return the batches of one pass over all rows, each of rows that are equally long (by the first length)."""
        order = numbered(len(self.lengths))[np.argsort(-self.lengths[:, 0], kind="stable")]
        ends = np.flatnonzero(np.diff(self.lengths[order, 0])) + 1
        return self._in_runs(order, np.append(ends, len(order)))

    def _in_runs(self, rows: Order, ends: Order) -> Batches:
        """Sort each run of rows, in place, and cut it into batches.

        Args:
            rows: Numbers of rows, which are put into another order.
            ends: Where the runs end.
        """
        cuts, start = [], 0
        for end in ends[ends > 0].tolist():
            rows[start:end] = self._sorted(rows[start:end])
            cuts.append(start + self._cut(rows[start:end]))
            start = end
        return Batches.cut(rows, np.concatenate(cuts)) if cuts else Batches.even(rows, 1)

    def _rows_in_a_pool(self) -> int:
        if self.size.tokens is None:
            return self.size.rows * POOL
        mean = self.lengths.sum() / max(len(self.lengths), 1)
        return max(1, int(self.size.tokens / max(mean, 1))) * POOL

    def _sorted(self, rows: Order) -> Order:
        """Sort by the first length, and rows that are about equal in it by the second, alternately up and down."""
        first, second = self.lengths[rows, 0], self.lengths[rows, -1]
        if self.lengths.shape[1] == 1:
            return rows[np.argsort(-first, kind="stable")]
        level = (np.log(np.maximum(first, 1)) / np.log1p(STEP)).astype(np.int64)
        turn = np.where(np.unique(level, return_inverse=True)[1] % 2, 1, -1)
        return rows[np.lexsort([second * turn, -level])]

    def _cut(self, rows: Order) -> Order:
        """Return where the batches of sorted rows end."""
        tokens = self.size.tokens
        return _ends(len(rows), self.size.rows) if tokens is None else self._cut_by_tokens(rows, tokens)

    def _cut_by_tokens(self, rows: Order, tokens: int) -> Order:
        starts, longest = [0], np.zeros(self.lengths.shape[1], dtype=np.int64)
        for i, lengths in enumerate(self.lengths[rows]):
            longest = np.maximum(longest, lengths)
            if (i + 1 - starts[-1]) * longest.sum() > tokens and i > starts[-1]:
                starts.append(i)
                longest = lengths
        return np.array([*starts[1:], len(rows)])
