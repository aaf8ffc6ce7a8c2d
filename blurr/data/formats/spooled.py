"""Keep large tables on the disk and map them into memory, which then holds no more of them than is being read."""

import logging
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from blurr.process.setup import cache_root

log = logging.getLogger(__name__)

LARGE = 1 << 25  # bytes of a file from which on its rows are kept on the disk
SPOOL = "spool"  # folder in the cache


class CannotSpool(Exception):  # noqa: N818  # said of a disk
    """The disk does not take the rows."""


def on_disk(file: Path, spool: Callable[[], pa.Table]) -> pa.Table | None:
    """Return the rows of a large file, kept on the disk; None if it is a small one, or the disk does not take them.

    Args:
        file: That the rows are read from.
        spool: Reads them by `spooled`.
    """
    if file.stat().st_size < LARGE:
        return None
    try:
        return spool()
    except CannotSpool as error:
        log.warning("The rows of %s are kept in memory, because the cache cannot be written: %s", file, error)
        return None


def spooled(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Write batches of rows into a file of the cache as they come, and return them mapped from there.

    The file has no name from then on, so that the disk has its room again when nothing uses the rows any longer.

    Raises:
        CannotSpool: the file cannot be written.
    """
    path = _new_file()
    try:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as out:
            for batch in batches:
                _write(out, batch)
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    finally:
        with suppress(OSError):  # Windows deletes no file that is mapped
            path.unlink()


def _new_file() -> Path:
    try:
        folder = cache_root() / SPOOL
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            return Path(file.name)
    except OSError as error:
        raise CannotSpool(str(error)) from error


def _write(out: pa.ipc.RecordBatchStreamWriter, batch: pa.RecordBatch) -> None:
    try:
        out.write_batch(batch)
    except OSError as error:  # whoever makes the batches has failures of his own
        raise CannotSpool(str(error)) from error
