"""Keep described rows on the disk where they are many, so that memory holds no more than one of them at a time."""

import logging
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from blurr.process.setup import cache_root

log = logging.getLogger(__name__)

MANY = 20_000  # rows from which on they are kept on the disk
AT_ONCE = 1000  # of them that are in memory at a time


class RowsOnDisk(Sequence[dict[str, Any]]):
    """Rows in a file without a name, which is gone with this process; each is read when it is asked for."""

    def __init__(self) -> None:
        folder = cache_root()
        folder.mkdir(parents=True, exist_ok=True)
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # as long as the rows
        weakref.finalize(self, self.file.close)
        self.ends = array("q", [0])

    def __len__(self) -> int:
        return len(self.ends) - 1

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write more rows."""
        self.file.seek(self.ends[-1])
        for row in rows:
            content = pickle.dumps(row, pickle.HIGHEST_PROTOCOL)
            self.file.write(content)
            self.ends.append(self.ends[-1] + len(content))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        self.file.seek(self.ends[number])
        row: dict[str, Any] = pickle.loads(self.file.read(self.ends[number + 1] - self.ends[number]))  # nosec B301  # ours
        return row

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(len(self)))


Rows = Sequence[dict[str, Any]]
GrowingRows = list[dict[str, Any]] | RowsOnDisk


def room_for(count: int) -> GrowingRows:
    """Return an empty table for so many rows: a list of a few, of many one on the disk, where that takes them."""
    if count < MANY:
        return []
    try:
        return RowsOnDisk()
    except OSError as error:
        log.warning("The rows that are described are kept in memory, because the cache cannot be written: %s", error)
        return []
