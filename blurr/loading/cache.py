"""Keep encoded rows on disk, under a hash of what they were made from; all runs and trials share them."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blurr.loading.columns import Column, Ragged, as_column, merged
from blurr.loading.growing import GrowingArray
from blurr.process.setup import cache_root
from blurr.runs.asides import ASIDE, delete_abandoned
from blurr.runs.checksums import replacing, seal, verify

log = logging.getLogger(__name__)

ABOUT = "about.json"


@dataclass(frozen=True)
class Entry:
    """Encoded rows on disk.

    Args:
        key: Hash of what they were made from.
        folder: The folder that holds them.
        about: A description of them.
        rows: Number of rows.
        size: Size in bytes.
        used: Time of the last use, in seconds since 1970.
    """

    key: str
    folder: Path
    about: str
    rows: int
    size: int
    used: float

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.used))
        return f"{self.about}: {self.rows} rows, {self.size / 1e6:.1f} MB, used {when}"


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the key of rows that are made from these parts; the same in every process and on every machine."""
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def hash_of_code(*folders: Path) -> str:
    """Hash the Python files of folders, so that rows made by different code are never used."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for folder in folders for file in folder.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def cached(key: str, about: str, make: Callable[[], Iterable[Mapping[str, Sequence[Any]]]]) -> dict[str, Column]:
    """Return the columns of a key from the disk, or make them and store them there.

    Rows come in parts, each of which is written before the next is made, so that memory holds one part alone.

    Two processes that make the same rows write to folders of their own; the first to finish keeps the name. If the disk
    cannot be written, a warning is logged and the run goes on.

    Args:
        key: See `key_of`.
        about: A description of the rows, for `blurr cache ls`.
        make: Makes the columns, part by part: numbers, or sequences of numbers, one per row.
    """
    folder = cache_root() / key[:2] / key
    delete_abandoned(folder.parent.glob(ASIDE))
    found = _read(folder)
    if found is not None:
        return found
    try:
        _write(folder, about, make())
        return _columns(folder)
    except OSError as error:
        log.warning("The tokenized rows could not be kept in %s: %s", cache_root(), error)
    return merged(make())


def entries() -> list[Entry]:
    """List what is on disk, the most recently used first."""
    found = [_entry(about) for about in cache_root().glob(f"*/*/{ABOUT}") if not about.parent.name.startswith(".")]
    return sorted(found, key=lambda entry: -entry.used)


def prune(*, days: float | None = None, gigabytes: float | None = None) -> list[Entry]:
    """Delete what was not used for that many days, then the least recently used until the rest fits.

    Returns:
        The deleted entries.
    """
    deleted: list[Entry] = []
    size = 0
    for entry in entries():
        size += entry.size
        is_old = days is not None and time.time() - entry.used > days * 86_400
        if is_old or (gigabytes is not None and size > gigabytes * 1e9):
            deleted.append(entry)
    for entry in deleted:
        shutil.rmtree(entry.folder, ignore_errors=True)  # another process may be deleting it, too
    for left in _unfinished(older_than=86_400):
        shutil.rmtree(left, ignore_errors=True)
    return deleted


def _write(folder: Path, about: str, parts: Iterable[Mapping[str, Sequence[Any]]]) -> None:
    try:
        with replacing(folder) as unfinished:
            written = Written(unfinished)
            try:
                for part in parts:
                    written.append(part)
            finally:
                written.close()
            columns = list(written.rows)
            rows = next(iter(written.rows.values()), 0)
            (unfinished / ABOUT).write_text(json.dumps({"about": about, "rows": rows, "columns": columns}))
            seal(unfinished)  # flushes, so that after a power failure the folder is whole or missing
    except OSError:
        if not folder.exists():  # else another process was faster
            raise


class Written:
    """Columns that grow on disk, part by part.

    Attributes:
        rows: Number of the values of each column.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, GrowingArray] = {}
        self.rows: dict[str, int] = {}

    def append(self, part: Mapping[str, Sequence[Any]]) -> None:
        """Write the columns of more rows."""
        for name, values in part.items():
            column = as_column(values)
            if isinstance(column, Ragged):
                total = len(self._array(f"{name}.flat"))
                self._array(f"{name}.flat").append(column.flat)
                self._array(f"{name}.offsets").append(column.offsets[0 if name not in self.rows else 1 :] + total)
            else:
                self._array(f"{name}.values").append(np.asarray(column))
            self.rows[name] = self.rows.get(name, 0) + len(column)

    def _array(self, name: str) -> GrowingArray:
        if name not in self.arrays:
            self.arrays[name] = GrowingArray(self.folder / f"{name}.npy")
        return self.arrays[name]

    def close(self) -> None:
        """Finish the files."""
        for array in self.arrays.values():
            array.close()


def _read(folder: Path) -> dict[str, Column] | None:
    """Map an entry into memory; None if it is missing or damaged."""
    if not folder.exists():
        return None
    try:
        verify(folder)
        columns = _columns(folder)
        os.utime(folder / ABOUT)
    except (OSError, ValueError) as error:
        log.warning("The tokenized rows are made anew: %s", error)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return columns


def _columns(folder: Path) -> dict[str, Column]:
    names = json.loads((folder / ABOUT).read_text())["columns"]
    return {name: _read_column(folder, name) for name in names}


def _read_column(folder: Path, name: str) -> Column:
    if (folder / f"{name}.values.npy").exists():
        return _mapped(folder / f"{name}.values.npy")
    return Ragged(_mapped(folder / f"{name}.flat.npy"), _mapped(folder / f"{name}.offsets.npy"))


def _mapped(file: Path) -> NDArray[Any]:
    if not np.load(file, mmap_mode="r", allow_pickle=False).size:
        return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]  # nothing to map
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))  # a plain view: faster to slice than a memmap


def _entry(file: Path) -> Entry:
    about: dict[str, Any] = {"about": "a broken entry", "rows": 0}
    with suppress(ValueError):  # a broken entry is still listed and pruned
        about |= json.loads(file.read_text())
    size = sum(part.stat().st_size for part in file.parent.iterdir())
    return Entry(file.parent.name, file.parent, about["about"], about["rows"], size, file.stat().st_mtime)


def _unfinished(*, older_than: float) -> list[Path]:
    return [folder for folder in cache_root().glob("*/.*") if time.time() - folder.stat().st_mtime > older_than]
