"""Read csv and tsv, at once or row by row, each cell as it is written; detect how cells are separated and quoted."""

import csv
import io
import logging
import re
from _csv import Reader
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from blurr.data.formats.content import Row, SourceFile
from blurr.data.formats.tables import ROWS, check_names, chunks, records
from blurr.errors import InputError

log = logging.getLogger(__name__)

SIGNS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "pipes"}
SPELLED = {r"\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
EXCEL_MARK = re.compile(r'"?sep=(.)"?[^\S\t\n]*\n')
SAMPLE = 1 << 16  # characters at the beginning of a file that show its delimiter
SAMPLE_ROWS = 20
LINE_ENDS = {"\n", "\r"}
LONGEST_CELL = (1 << 31) - 1  # the largest limit that csv accepts on every platform; its default is 128 kB
# An opening quote. The pattern begins with the quote itself, for which a text is searched fastest.
OPEN_QUOTE = re.compile(r'"(?<![^\t\n]")')
# Groups: the cell, and an empty text if it is still open at the end of what has been read.
QUOTED_CELL = re.compile(rf'({OPEN_QUOTE.pattern}[^"\t]*(?:""[^"\t]*)*)(?:"(?![^\t\r\n])|(\Z))')


@dataclass(frozen=True)
class Dialect:
    """How the cells of a file are written.

    Attributes:
        delimiter: The sign between them.
        is_quoted: Whether quotes enclose cells.
        skipped: Number of lines before the header.
    """

    delimiter: str
    is_quoted: bool
    skipped: int

    def rows(self, lines: Iterable[str], *, strict: bool = False) -> Reader:
        """Parse lines; a blank one is an empty row."""
        csv.field_size_limit(LONGEST_CELL)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.is_quoted else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=self.delimiter, quoting=quoting, strict=strict)


def _read(source: SourceFile, default: str) -> pa.Table:
    """Read a whole file by arrow; one that arrow refuses is read row by row, which finds the reason."""
    dialect = _dialect_of(source, default)
    try:
        table = _at_once(source.read_text(), dialect)
    except (pa.ArrowInvalid, UnicodeEncodeError):
        table = None
    return records(_rows(source, dialect), str(source)) if table is None else table


def _at_once(text: str, dialect: Dialect) -> pa.Table | None:
    """Parse a file by arrow, ten times as fast as by `csv`; None if the two may disagree about it."""
    if dialect.skipped:
        text = text.partition("\n")[2]
    header = next(filter(None, dialect.rows(io.StringIO(text[:SAMPLE], newline=""))), [])
    if not dialect.delimiter.isascii():
        return None
    content = text.encode()
    read = pyarrow.csv.ReadOptions(
        block_size=min(len(content) + 1, LONGEST_CELL), use_threads=False, autogenerate_column_names=True
    )
    parse = pyarrow.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.is_quoted else False,
        newlines_in_values=dialect.is_quoted,
    )
    # as text, each cell as it is written: 007, 1.10, NA and 2024-01-31, too
    texts = pyarrow.csv.ConvertOptions(column_types={f"f{place}": pa.string() for place in range(len(header))})
    table = pyarrow.csv.read_csv(io.BytesIO(content), read, parse, texts)
    first, last = ([str(column[row]) for column in table.columns] for row in (0, -1))
    if first != header or LINE_ENDS.intersection(last[-1]):  # the last row may begin with a quote that is never closed
        return None
    table = table.slice(1)
    return None if _repeats(table, header) else table.rename_columns(_named(header))


def _repeats(table: pa.Table, header: list[str]) -> bool:
    """Return whether a row is the header again, as in files that were put one after the other."""
    equal = pa.scalar(len(header) > 1)  # a single cell may well have the name of its column
    for cell, column in zip(header, table.columns, strict=True):
        equal = pc.and_(equal, pc.equal(column, cell))
        if not pc.any(equal).as_py():
            return False
    return True


def _stream(source: SourceFile, default: str) -> Iterator[Row | InputError]:
    return _rows(source, _dialect_of(source, default))


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
                header, names = cells, _named(cells)
                check_names(names, str(source))
            start, end = end, reader.line_num  # of the following row, which the parser has read, too
    except csv.Error as error:
        raise InputError(f"{source} is not a table separated by {dialect.delimiter!r}: {error}.") from error


read_csv, read_tsv = partial(_read, default=","), partial(_read, default="\t")
stream_csv, stream_tsv = partial(_stream, default=","), partial(_stream, default="\t")


def _named(header: list[str]) -> list[str]:
    """Name columns without a header, as an index that pandas writes: `column_<number, from 1>`."""
    return [name if name.strip() else f"column_{place}" for place, name in enumerate(header, start=1)]


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


def _dialect_of(source: SourceFile, default: str) -> Dialect:
    sample, mark = _without_mark(_sample(source))
    delimiter = _delimiter_of(sample, source.options.delimiter or mark, default, str(source))
    return Dialect(delimiter, _has_quoted_cells(source, delimiter), skipped=0 if mark is None else 1)


def _sample(source: SourceFile) -> str:
    """Return the first lines of a file, a little more than `SAMPLE` characters of them."""
    sample = ""
    for line in source.lines(newline=""):
        sample += line
        if len(sample) > SAMPLE + 100:  # a line with Excel's mark is taken off again
            break
    return sample


def _without_mark(text: str) -> tuple[str, str | None]:
    """Split off a first line `sep=;`, which Excel reads; return the text below it, and the sign or None."""
    found = EXCEL_MARK.match(text)
    return (text[found.end() :], found[1]) if found else (text, None)


def _delimiter_of(sample: str, asked: str | None, default: str, where: str) -> str:
    """Return what separates the columns: the sign that was asked for, else the one that the header shows.

    Args:
        sample: The file, or its beginning.
        asked: `data.delimiter`, or the sign in Excel's mark; None looks at the header.
        default: The sign that the name of the file stands for, used if the header has a single column.
        where: The name of the file, for messages.

    Raises:
        InputError: Several signs were asked for.
    """
    if asked is not None:
        sign = SPELLED.get(asked, asked)
        if len(sign) != 1:
            raise InputError(f"data.delimiter={asked} (--delimiter) has {len(sign)} signs. Give a single one.")
        return sign
    found = _found(sample[:SAMPLE], default, is_whole=len(sample) <= SAMPLE)
    if found != default:
        log.info("%s: its columns are separated by %s (data.delimiter).", where, SIGNS[found])
    return found


def _found(sample: str, default: str, *, is_whole: bool) -> str:
    """Return the sign that splits the header; of several, the one that splits the next rows into as many cells."""
    signs = dict.fromkeys([default, *SIGNS])
    widths: dict[str, list[int]] = {}
    for sign in signs:
        rows = filter(None, Dialect(sign, True, 0).rows(io.StringIO(sample, newline="")))
        found = [len(cells) for cells in islice(rows, SAMPLE_ROWS)]
        widths[sign] = found if is_whole else found[:-1] or found  # the last row of a sample may be cut off
    splitting = [sign for sign in signs if widths[sign] and widths[sign][0] > 1]
    even = [sign for sign in splitting if len(set(widths[sign])) == 1]
    return next(iter(even or splitting), default)


def _has_quoted_cells(source: SourceFile, delimiter: str) -> bool:
    """Return whether quotes enclose cells; `auto` looks at files with tabs, where a quote may be text."""
    quotes = source.options.quotes
    return _opens_and_closes(source.lines()) if quotes == "auto" and delimiter == "\t" else quotes != "text"


def _opens_and_closes(lines: Iterable[str]) -> bool:
    """Return whether there are quotes, and every quote that opens a cell is closed at the end of that cell."""
    is_any, rest = False, ""  # rest: from the opening quote of a cell that is not closed yet
    for block in chunks(lines, ROWS):
        text = "".join(block)
        has_quote = '"' in text
        is_any = is_any or has_quote
        if has_quote or (rest and "\t" in text):  # else nothing says what becomes of the open cell
            parts = QUOTED_CELL.split(rest + text)  # in turns: the text between, and both groups
            rest = parts[-3] if len(parts) > 1 and parts[-2] is not None else ""
            if OPEN_QUOTE.search("".join(parts[::3])):
                return False
    return is_any and not rest
