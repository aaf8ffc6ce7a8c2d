"""Detect how the cells of csv and tsv are separated and quoted. Imports nothing heavy."""

import csv
import io
import logging
import re
from _csv import Reader
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from blurr.data.formats.content import ROWS, SourceFile, chunks
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


def dialect_of(source: SourceFile, default: str) -> Dialect:
    """Detect how the cells of a file are written.

    Args:
        source: The file.
        default: The sign that its name stands for, used if the header has a single column.

    Raises:
        InputError: The file cannot be read, or the delimiter that was asked for has several signs.
    """
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


def header_of_table(source: SourceFile, default: str) -> list[str] | None:
    """Return the first row of a file, from its beginning; None where only the whole file says how it is quoted."""
    sample, mark = _without_mark(_sample(source))
    asked = source.options.delimiter or mark
    delimiter = SPELLED.get(asked, asked) if asked else _found(sample[:SAMPLE], default, is_whole=len(sample) <= SAMPLE)
    if len(delimiter) != 1:
        return None
    first = next((line for line in sample.splitlines() if line.strip()), "")
    is_unclear = source.options.quotes == "auto" and delimiter == "\t" and '"' in first
    rows = Dialect(delimiter, source.options.quotes != "text", 0).rows(io.StringIO(sample, newline=""))
    return None if is_unclear else named(next(filter(None, rows), []))


def named(header: list[str]) -> list[str]:
    """Name columns without a header, as an index that pandas writes: `column_<number, from 1>`."""
    return [name if name.strip() else f"column_{place}" for place, name in enumerate(header, start=1)]
