"""Decide which rows make a batch: rows of similar length, in an order that depends on seed and epoch alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blurr.config.annotations import Count

Order = NDArray[np.int64]
POOL = 256  # batches within which rows are sorted; more of them pad less, and mix less from epoch to epoch
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


class Buckets:
    """Rows by their lengths.

    Args:
        lengths: `(rows,)` in tokens, or `(rows, 2)` if source and target are padded separately.
        size: Size of a batch.
    """

    def __init__(self, lengths: NDArray[np.int64], size: BatchSize) -> None:
        self.lengths = lengths if lengths.ndim == 2 else lengths[:, None]
        self.size = size

    def training(self, *, seed: int, epoch: int) -> list[Order]:
        """Return the batches of an epoch: similar lengths within each, and the batches in random order.

        Rows are shuffled, cut into pools, sorted within a pool and cut into batches, and the batches are shuffled. The
        one with the most tokens comes first, so that a lack of memory shows at once; an incomplete one comes last.
        """
        rng = np.random.default_rng([seed, epoch])
        shuffled = rng.permutation(len(self.lengths))
        pool = self._rows_in_a_pool()
        batches = [
            batch
            for start in range(0, len(shuffled), pool)
            for batch in self._cut(self._sorted(shuffled[start : start + pool]))
        ]
        incomplete = [batches.pop()] if self.size.tokens is None and len(shuffled) % self.size.rows else []
        mixed = [batches[i] for i in rng.permutation(len(batches))]
        if mixed:
            largest = int(np.argmax([self._padded(batch) for batch in mixed]))
            mixed[0], mixed[largest] = mixed[largest], mixed[0]
        return [*mixed, *incomplete]

    def evaluation(self) -> list[Order]:
        """Return the batches of one pass over all rows, the longest first."""
        return self._cut(self._sorted(np.arange(len(self.lengths))))

    def of_one_length(self) -> list[Order]:
        """Return the batches of one pass over all rows, each of rows that are equally long (by the first length)."""
        order = np.argsort(-self.lengths[:, 0], kind="stable")
        ends = np.flatnonzero(np.diff(self.lengths[order, 0])) + 1
        return [batch for rows in np.split(order, ends) for batch in self._cut(self._sorted(rows))]

    def _rows_in_a_pool(self) -> int:
        if self.size.tokens is None:
            return self.size.rows * POOL
        mean = self.lengths.sum() / max(len(self.lengths), 1)
        return max(1, int(self.size.tokens / max(mean, 1))) * POOL

    def _padded(self, batch: Order) -> int:
        return int(len(batch) * self.lengths[batch].max(axis=0).sum())

    def _sorted(self, rows: Order) -> Order:
        """Sort by the first length, and rows that are about equal in it by the second, alternately up and down."""
        first, second = self.lengths[rows, 0], self.lengths[rows, -1]
        if self.lengths.shape[1] == 1:
            return rows[np.argsort(-first, kind="stable")]
        level = (np.log(np.maximum(first, 1)) / np.log1p(STEP)).astype(np.int64)
        turn = np.where(np.unique(level, return_inverse=True)[1] % 2, 1, -1)
        return rows[np.lexsort([second * turn, -level])]

    def _cut(self, rows: Order) -> list[Order]:
        if self.size.tokens is None:
            return [rows[start : start + self.size.rows] for start in range(0, len(rows), self.size.rows)]
        return self._cut_by_tokens(rows, self.size.tokens)

    def _cut_by_tokens(self, rows: Order, tokens: int) -> list[Order]:
        starts, longest = [0], np.zeros(self.lengths.shape[1], dtype=np.int64)
        for i, lengths in enumerate(self.lengths[rows]):
            longest = np.maximum(longest, lengths)
            if (i + 1 - starts[-1]) * longest.sum() > tokens and i > starts[-1]:
                starts.append(i)
                longest = lengths
        return np.split(rows, starts[1:]) if len(rows) else []
