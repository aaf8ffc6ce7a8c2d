"""Keep large tables on the disk and map them into memory, which then holds no more of them than is being read."""

import logging
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import pyarrow as pa

from blurr.data.formats.content import SourceFile
from blurr.process.setup import cache_root

log = logging.getLogger(__name__)

LARGE = 1 << 25  # bytes from which on rows are kept on the disk
SPOOL = "spool"  # folder in the cache
UNPACKED = 4  # times as large as its file are the rows of a packed one, about
Batches = Callable[[], Iterable[pa.RecordBatch]]


class CannotSpool(Exception):  # noqa: N818  # said of a disk
    """The disk does not take the rows."""


def on_disk(what: object, size: int, batches: Batches) -> pa.Table | None:
    """Return many rows, kept on the disk; None if they are not many, or the disk does not take them.

    Args:
        what: What they are, for messages.
        size: Bytes that they take, about.
        batches: Makes the rows, see `spooled`.
    """
    if size < LARGE:
        return None
    try:
        return spooled(batches())
    except CannotSpool as error:
        log.warning("The rows of %s are kept in memory, because the cache cannot be written: %s", what, error)
        return None


def size_of(source: SourceFile) -> int:
    """Return the bytes of the rows of a file, and of all that are read with it, about."""
    return (source.together or source.path.stat().st_size) * (UNPACKED if source.is_packed else 1)


def column_of(chunks: Callable[[], Iterable[pa.Array]], size: int) -> pa.ChunkedArray:
    """Return chunks, of which there is at least one, as one column, kept on the disk if it is large.

    Args:
        chunks: Makes them.
        size: Bytes that they take, about.
    """

    def batches() -> Iterable[pa.RecordBatch]:
        return (pa.record_batch([chunk], ["column"]) for chunk in chunks())

    kept = on_disk("a column", size, batches)
    return (pa.Table.from_batches(batches()) if kept is None else kept).column(0)


def spooled(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Write batches of rows into a file of the cache as they come, and return them mapped from there.

    The types of columns may change from batch to batch; those of the table suit all of them. The file has no name from
    then on, so that the disk has its room again when nothing uses the rows any longer.

    Raises:
        CannotSpool: the file cannot be written.
    """
    path = _new_file()
    try:
        starts = _written(path, batches)
        with pa.memory_map(str(path)) as file:
            parts = [_read(file, start) for start in starts]
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="permissive")
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


def _written(path: Path, batches: Iterable[pa.RecordBatch]) -> list[int]:
    """Write the batches, those of one schema as one stream; return where in the file the streams begin."""
    starts: list[int] = []
    schema: pa.Schema | None = None
    with pa.OSFile(str(path), "wb") as sink, ExitStack() as streams:
        for batch in batches:
            if batch.schema != schema:
                streams.close()
                schema = batch.schema
                starts.append(sink.tell())
                out = streams.enter_context(pa.ipc.new_stream(sink, schema))
            _write(out, batch)
    return starts


def _read(file: pa.MemoryMappedFile, start: int) -> pa.Table:
    file.seek(start)
    return pa.ipc.open_stream(file).read_all()


def _write(out: pa.ipc.RecordBatchStreamWriter, batch: pa.RecordBatch) -> None:
    try:
        out.write_batch(batch)
    except OSError as error:  # whoever makes the batches has failures of his own
        raise CannotSpool(str(error)) from error
