"""Find out how the columns of a csv or tsv file are separated and quoted, and which of its lines is wrong."""

import csv
import io
import logging
import re
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from blurr.errors import InputError

log = logging.getLogger(__name__)

SIGNS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "pipes"}
SPELLED = {r"\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
MARK = re.compile(r'"?sep=(.)"?[^\S\t\n]*\n')
SAMPLE = 1 << 16  # characters at the beginning of a file that are looked at
RECORDS = 20  # rows in these
LONGEST_CELL = (1 << 31) - 1
QUOTED_FIELD = re.compile(r'(?<![^\t\n])"(?:[^"\t]|"")*"(?![^\t\r\n])')
OPEN_QUOTE = re.compile(r'(?<![^\t\n])"')


def without_mark(text: str) -> tuple[str, str | None]:
    """Part a table from the first line `sep=;` that Excel reads; return the table and the sign, or None."""
    found = MARK.match(text)
    return (text[found.end() :], found[1]) if found else (text, None)


def delimiter_of(text: str, asked: str | None, default: str, where: str) -> str:
    """Return what separates the columns: the sign that was asked for, or the one that the header shows.

    Args:
        text: The file, or its beginning.
        asked: `data.delimiter`; None looks at the header.
        default: The sign that the name of the file stands for; it is taken where the header has a single column.
        where: The name of the file, for messages.

    Raises:
        InputError: When several signs were asked for.
    """
    if asked is not None:
        sign = SPELLED.get(asked, asked)
        if len(sign) != 1:
            raise InputError(f"data.delimiter={asked} has {len(sign)} signs. Columns are separated by one.")
        return sign
    found = _found(text[:SAMPLE], default, is_whole=len(text) <= SAMPLE)
    if found != default:
        log.info("%s: its columns are separated by %s (data.delimiter).", where, SIGNS[found])
    return found


def _found(sample: str, default: str, *, is_whole: bool) -> str:
    """Return the sign that cuts the header, and of several the one that cuts the next rows into as many cells."""
    signs = dict.fromkeys([default, *SIGNS])
    rows = {sign: list(islice(records(sample, sign, quoted=True), RECORDS)) for sign in signs}
    if not is_whole:  # the last row of the sample may be cut off
        rows = {sign: found[:-1] or found for sign, found in rows.items()}
    cutting = [sign for sign in signs if rows[sign] and len(rows[sign][0][1]) > 1]
    even = [sign for sign in cutting if len({len(cells) for _, cells in rows[sign]}) == 1]
    return next(iter(even or cutting), default)


def records(text: str, delimiter: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, the header first, each with the number of its last line; blank lines are none."""
    csv.field_size_limit(LONGEST_CELL)
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def has_quoted_cells(text: str, delimiter: str, quotes: str) -> bool:
    """Say whether quotes enclose cells; in files with tabs, where a quote may be text, `auto` looks."""
    if quotes != "auto" or delimiter != "\t":
        return quotes != "text"
    return '"' in text and not OPEN_QUOTE.search(QUOTED_FIELD.sub("", text))


def named(header: list[str]) -> list[str]:
    """Name columns whose header is empty, as that of an index that pandas has written: `column_<number, from 1>`."""
    return [name if name.strip() else f"column_{place}" for place, name in enumerate(header, start=1)]


def ragged(text: str, delimiter: str, *, quoted: bool) -> str | None:
    """Say which line has more or fewer cells than the header; None where all have as many."""
    found = records(text, delimiter, quoted=quoted)
    width = len(next(found, (0, []))[1])
    for line, cells in found:
        if len(cells) != width:
            shown = delimiter.join(cells)
            return (
                f"line {line} has {len(cells)} cells where the header has {width}: {shown!r:.80}. Correct the line "
                f"(a cell with {delimiter!r} in it stands in quotes), or set data.delimiter"
            )
    return None


def check_closed(text: str, delimiter: str, rows: pa.Table, where: str) -> None:
    """Refuse a file that ends inside a quoted cell, which has swallowed all rows behind its quote.

    Raises:
        InputError: Names the row.
    """
    last = str(rows.column(rows.num_columns - 1)[-1].as_py()) if rows.num_rows else ""
    if "\n" not in last or _is_closed(text, delimiter):
        return
    raise InputError(
        f"{where} is not a table separated by {delimiter!r}: the quote before {last[:60]!r} in row {rows.num_rows} "
        "(counted from 1, without the header) is never closed. Close it, or set data.quotes=text if quotes are text."
    )


def _is_closed(text: str, delimiter: str) -> bool:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        return "end of data" not in str(error)
    return True
