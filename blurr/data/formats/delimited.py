"""Read csv and tsv, at once or row by row, each cell as it is written."""

import csv
import io
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from blurr.data.formats.content import Row, SourceFile
from blurr.data.formats.dialect import LINE_ENDS, Dialect, dialect_of, named
from blurr.data.formats.spooled import on_disk, size_of
from blurr.data.formats.tables import check_names, records
from blurr.errors import InputError

BLOCK = 1 << 22  # bytes that arrow parses at a time: of larger blocks it holds several, and is not faster
LARGEST_BLOCK = 1 << 26  # for files with rows that do not fit into a block; arrow counts the bytes of one in 32 bits


def _read(source: SourceFile, default: str) -> pa.Table:
    """Read a whole file by arrow; one that arrow refuses is read row by row, which finds the reason."""
    dialect = dialect_of(source, default)
    table = _by_arrow(source, dialect)
    return records(_rows(source, dialect), str(source)) if table is None else table


def _by_arrow(source: SourceFile, dialect: Dialect) -> pa.Table | None:
    """Read a whole file by arrow, in larger blocks if a row does not fit into one; None if it cannot be."""
    for block in (BLOCK, LARGEST_BLOCK):
        try:
            return _at_once(source, dialect, block)
        except (pa.ArrowInvalid, UnicodeError) as error:
            if "block size" not in str(error):
                break
    return None


def _at_once(source: SourceFile, dialect: Dialect, block: int) -> pa.Table | None:
    """Parse a file by arrow, ten times as fast as by `csv`; None if the two may disagree about it."""
    header = _header(source, dialect)
    if not header or not dialect.delimiter.isascii():
        return None
    read = pyarrow.csv.ReadOptions(
        block_size=block,
        use_threads=False,
        autogenerate_column_names=True,
        skip_rows=dialect.skipped,
    )
    parse = pyarrow.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.is_quoted else False,
        newlines_in_values=dialect.is_quoted,
    )
    # as text, each cell as it is written: 007, 1.10, NA and 2024-01-31, too
    texts = pyarrow.csv.ConvertOptions(column_types={f"f{place}": pa.string() for place in range(len(header))})
    table = _parsed(source, read, parse, texts)
    first, last = ([str(column[row]) for column in table.columns] for row in (0, -1))
    if first != header or LINE_ENDS.intersection(last[-1]):  # the last row may begin with a quote that is never closed
        return None
    table = table.slice(1)
    return None if _repeats(table, header) else table.rename_columns(named(header))


def _parsed(source: SourceFile, *options: Any) -> pa.Table:
    """Parse a file; the rows of a large one stay on the disk, where it takes them."""

    def batches() -> Iterator[pa.RecordBatch]:
        with source.opened() as file, source.decoded(file, newline="") as text:
            yield from pyarrow.csv.open_csv(_Encoded(text), *options)

    kept = on_disk(source, size_of(source), batches)
    return pa.Table.from_batches(batches()) if kept is None else kept


class _Encoded(io.RawIOBase):
    """The text of a file as UTF-8, in blocks that end with a carriage return only where the text does.

    Arrow drops a line feed that begins a block after such an end, inside quotes, too.
    """

    def __init__(self, text: TextIO) -> None:
        self.text = text

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self.text.read(max(1, size // 4))  # a character has at most four bytes
        while block.endswith("\r") and (following := self.text.read(1)):
            block += following
        return block.encode()


def _header(source: SourceFile, dialect: Dialect) -> list[str]:
    """Return the cells of the first row that is not blank."""
    lines = source.lines(newline="")
    try:
        return next(filter(None, dialect.rows(islice(lines, dialect.skipped, None))), [])
    except csv.Error:
        return []
    finally:
        lines.close()


def _repeats(table: pa.Table, header: list[str]) -> bool:
    """Return whether a row is the header again, as in files that were put one after the other."""
    equal = pa.scalar(len(header) > 1)  # a single cell may well have the name of its column
    for cell, column in zip(header, table.columns, strict=True):
        equal = pc.and_(equal, pc.equal(column, cell))
        if not pc.any(equal).as_py():
            return False
    return True


def _stream(source: SourceFile, default: str) -> Iterator[Row | InputError]:
    return _rows(source, dialect_of(source, default))


def _rows(source: SourceFile, dialect: Dialect) -> Iterator[Row | InputError]:
    reader = dialect.rows(islice(source.lines(newline=""), dialect.skipped, None))
    names: list[str] = []
    header: list[str] = []
    start, end = 0, 0  # the last lines of the row before, and of the row
    try:
        for number, (cells, following) in enumerate(pairwise(chain(filter(None, reader), [[]]))):
            if not following and _is_open(source, cells, dialect, start):
                raise InputError(_unclosed(source, dialect, cells[-1], number))
            if cells == header and len(header) > 1:
                yield InputError(f"Line {end + dialect.skipped} is the header again. Take it out.")
            elif len(cells) == len(names):
                yield dict(zip(names, cells, strict=True))
            elif names:
                yield InputError(_ragged(cells, len(names), dialect, end))
            else:
                header, names = cells, named(cells)
                check_names(names, str(source))
            start, end = end, reader.line_num  # of the following row, which the parser has read, too
    except csv.Error as error:
        raise InputError(f"{source} is not a table separated by {dialect.delimiter!r}: {error}.") from error


read_csv, read_tsv = partial(_read, default=","), partial(_read, default="\t")
stream_csv, stream_tsv = partial(_stream, default=","), partial(_stream, default="\t")


def _is_open(source: SourceFile, cells: list[str], dialect: Dialect, start: int) -> bool:
    """Return whether the file ends inside its last cell, so that an open quote has swallowed all rows after it."""
    if not LINE_ENDS.intersection(cells[-1]):  # as in nearly all files, which need not be read again
        return False
    try:
        list(dialect.rows(islice(source.lines(newline=""), dialect.skipped + start, None), strict=True))
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _unclosed(source: SourceFile, dialect: Dialect, cell: str, row: int) -> str:
    return (
        f"{source} is not a table separated by {dialect.delimiter!r}: the quote before {cell[:60]!r} in row {row} "
        "(counted from 1, without the header) is never closed. Close it, or set data.quotes=text (--quotes) if quotes "
        "are text."
    )


def _ragged(cells: list[str], width: int, dialect: Dialect, line: int) -> str:
    delimiter = dialect.delimiter
    return (
        f"Line {line + dialect.skipped} has {len(cells)} cells where the header has {width}: "
        f"{delimiter.join(cells)!r:.80}. Correct the line (a cell with {delimiter!r} in it stands in quotes), or set "
        "data.delimiter (--delimiter)."
    )
