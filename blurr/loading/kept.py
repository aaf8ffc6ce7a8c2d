"""Keep on disk what is costly to make of rows, such as decoded pictures: made once, by whoever first reads a row."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from blurr.loading.cache import ABOUT
from blurr.process.setup import cache_root
from blurr.runs.asides import new_aside

log = logging.getLogger(__name__)
VALUES, SUMS = "values.npy", "sums.npy"


@dataclass(frozen=True)
class Kept:
    """An array in the cache whose rows are filled in one by one, by any number of processes.

    A row counts from the moment that its checksum is there and right, so a killed process, a torn write or a broken
    disk costs making the row again, and never a wrong one.

    Attributes:
        values: The rows, mapped from the disk; those of different lengths one after the other.
        sums: xxHash of each row, `(rows,)`; 0 for one that is not made yet.
        ends: Where each row ends in `values`, `(rows,)`; None where all are as long.
    """

    values: NDArray[Any]
    sums: NDArray[np.uint64]
    ends: NDArray[np.int64] | None = None

    @classmethod
    def open(
        cls,
        key: str,
        about: str,
        shape: tuple[int, ...],
        dtype: type[np.generic],
        *,
        lengths: NDArray[np.int64] | None = None,
    ) -> Self | None:
        """Open the array of a key, or make an empty one; log a warning and return `None` if the disk has no room.

        Args:
            key: See `blurr.loading.cache.key_of`.
            about: A description, for `blurr cache ls`.
            shape: Of all rows together, the number of rows first; without their lengths, where these differ.
            dtype: Of the values.
            lengths: Of each row, `(rows,)`; None where all are as long.
        """
        folder = cache_root() / key[:2] / key
        ends = None if lengths is None else np.cumsum(lengths)
        of_values = shape if ends is None else (int(ends[-1]) if len(ends) else 0, *shape[1:])
        try:
            if not folder.exists():
                _make(folder, about, {VALUES: (of_values, np.dtype(dtype)), SUMS: (shape[:1], np.dtype(np.uint64))})
            os.utime(folder / ABOUT)
            return cls(_mapped(folder / VALUES, of_values), _mapped(folder / SUMS, shape[:1]), ends)
        except ValueError:  # cut off, or of another shape
            shutil.rmtree(folder, ignore_errors=True)
            return cls.open(key, about, shape, dtype, lengths=lengths)
        except OSError as error:
            log.warning("What is decoded could not be kept in %s: %s", cache_root(), error)
            return None

    def get(self, row: int) -> NDArray[Any] | None:
        """Return a row; `None` if nobody has made it yet."""
        values = self.values[self._place(row)]
        return values if self.sums[row] and self.sums[row] == _sum(values) else None

    def put(self, row: int, values: NDArray[Any]) -> None:
        """Fill in a row."""
        self.values[self._place(row)] = values
        self.sums[row] = _sum(values)

    def _place(self, row: int) -> int | slice:
        """Return where a row stands in the values."""
        if self.ends is None:
            return row
        return slice(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))

    @property
    def missing(self) -> int:
        """Number of rows that nobody has made yet."""
        return int((self.sums == 0).sum())


def _make(folder: Path, about: str, arrays: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
    """Make empty arrays of these shapes and types; whoever is first keeps the name."""
    with suppress(FileExistsError), new_aside(folder) as made:
        for name, (shape, dtype) in arrays.items():
            size = np.lib.format.open_memmap(made / name, mode="w+", dtype=dtype, shape=shape).nbytes
            _reserve(made / name, size)
        rows = arrays[SUMS][0][0]
        (made / ABOUT).write_text(json.dumps({"about": about, "rows": rows, "columns": []}), encoding="utf-8")
        _take_name(made, folder)


def _take_name(made: Path, folder: Path) -> None:
    try:
        os.rename(made, folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise


def _reserve(path: Path, size: int) -> None:
    """Take the room on the disk now: a mapped file that finds none later ends the process without a word."""
    with path.open("r+b") as file:
        end = path.stat().st_size
        if sys.platform == "linux":
            os.posix_fallocate(file.fileno(), 0, end)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(f"{size / 1e9:.1f} GB do not fit on the disk")


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    values = np.load(path, mmap_mode="r+", allow_pickle=False)
    if values.shape != shape:
        raise ValueError(f"{path} has the shape {values.shape}")
    return np.asarray(values)


def _sum(values: NDArray[Any]) -> int:
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(values).data)
