"""Make tables of rows that come one by one, on the disk where they are many."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import pyarrow as pa

from blurr.data.formats.content import ROWS, Row, SourceFile, chunks
from blurr.data.formats.spooled import on_disk, size_of
from blurr.data.formats.tables import records, sound
from blurr.errors import InputError

UNLIKE = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)


def records_of(source: SourceFile, read: Callable[[], Iterable[Row | InputError]]) -> pa.Table:
    """Make a table of the rows of a file; see `records`.

    A large file's stay on the disk, unless a column has values of several types: such a column becomes text, which is
    known only when all rows have been seen.

    Args:
        source: The file.
        read: Reads its rows.
    """
    where = str(source)
    try:
        kept = on_disk(source, size_of(source), lambda: batches_of(sound(read(), where)))
    except UNLIKE:
        kept = None
    return records(read(), where) if kept is None else kept


def batches_of(rows: Iterable[Row]) -> Iterator[pa.RecordBatch]:
    """Yield some rows at a time, each batch with all columns and types that were seen so far."""
    known = pa.schema([])
    for block in chunks(rows, ROWS):
        names = dict.fromkeys([*known.names, *chain.from_iterable(block)])
        if not names:  # a table without columns has no rows
            raise pa.ArrowInvalid("rows without any value")
        table = pa.table({name: pa.array([row.get(name) for row in block]) for name in names})
        known = pa.unify_schemas([known, table.schema], promote_options="permissive")
        yield from pa.concat_tables([known.empty_table(), table], promote_options="permissive").to_batches()
