"""Draw rows at random without a list of all of them, and find those that must stay together."""

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import datasets
import numpy as np
import xxhash
from numpy.typing import NDArray

from blurr.data.formats.content import ROWS
from blurr.data.media import hashes, media_columns

AT_ONCE = 1 << 20  # keys that are looked up at a time

Numbers = NDArray[np.integer[Any]]


def drawn(n: int, seed: int) -> Iterator[int]:
    """Yield the numbers below `n` in random order, one after the other: those of `random.sample(range(n), n)`."""
    rng, pool = random.Random(seed), array("q", range(n))
    for left in range(n, 0, -1):
        place = rng.randrange(left)
        yield pool[place]
        pool[place] = pool[left - 1]


def mixed(n: int, seed: int) -> Numbers:
    """Return the numbers below `n` in the random order of `random.shuffle`."""
    pool = array("q", range(n))
    random.Random(seed).shuffle(pool)
    return np.frombuffer(pool, dtype=np.int64)


@dataclass(frozen=True)
class Groups:
    """Rows that are equal in some columns, as groups in the order of their first rows.

    Attributes:
        firsts: The number of each group's first row, `(groups,)`.
        of_row: The number of each row's group, `(rows,)`.
    """

    firsts: Numbers
    of_row: Numbers

    @classmethod
    def of(cls, rows: datasets.Dataset, columns: Sequence[str]) -> "Groups":
        """Compare the rows of a data set."""
        return cls.by(keys_of(rows, columns)) if columns else cls(np.arange(0), np.arange(0))

    @classmethod
    def by(cls, keys: NDArray[np.uint64]) -> "Groups":
        """Put rows of one key together, `(rows,)`."""
        leaders = np.arange(len(keys), dtype=np.int32 if len(keys) < np.iinfo(np.int32).max else np.int64)
        several = _twice(keys)
        if len(several):
            _, first, which = np.unique(keys[several], return_index=True, return_inverse=True)
            leaders[several] = several[first][which]
        is_first = leaders == np.arange(len(keys))
        return cls(np.flatnonzero(is_first), (np.cumsum(is_first, dtype=leaders.dtype) - 1)[leaders])

    def __len__(self) -> int:
        return len(self.firsts)

    @property
    def sizes(self) -> Numbers:
        """The number of rows of each group."""
        return np.bincount(self.of_row, minlength=len(self))


def keys_of(rows: datasets.Dataset, columns: Sequence[str]) -> NDArray[np.uint64]:
    """Return a key for what each row has in some columns, `(rows,)`; none where there are no columns."""
    cells = [_cells(rows, column) for column in columns]
    # the texts of ten million rows would take gigabytes; two of them have one hash once in 400,000 data sets
    each = (xxhash.xxh3_64_intdigest(repr(row).encode(errors="surrogatepass")) for row in zip(*cells, strict=True))
    return np.fromiter(each, dtype=np.uint64, count=rows.num_rows if cells else 0)


def _cells(rows: datasets.Dataset, column: str) -> Iterator[Any]:
    """Yield the values of a column; of media, their hashes."""
    if column in media_columns(rows):
        return iter(hashes(rows, column))
    plain = rows.with_format(None).select_columns([column])
    return chain.from_iterable(block[column] for block in plain.iter(ROWS))


def _twice(keys: NDArray[np.uint64]) -> Numbers:
    """Return the numbers of the rows whose key others have, too."""
    ordered = np.sort(keys)
    known = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(known):
        return np.arange(0)
    found = []
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        places = np.searchsorted(known, some).clip(max=len(known) - 1)
        found.append(start + np.flatnonzero(known[places] == some))
    return np.concatenate(found)
