"""Read csv and tsv row by row, each cell as it is written; find out how cells are separated and quoted."""

import csv
import io
import logging
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from blurr.data.formats.content import Row, SourceFile
from blurr.data.formats.tables import check_names
from blurr.errors import InputError

log = logging.getLogger(__name__)

SIGNS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "pipes"}
SPELLED = {r"\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
EXCEL_MARK = re.compile(r'"?sep=(.)"?[^\S\t\n]*\n')
SAMPLE = 1 << 16  # characters at the beginning of a file that show its delimiter
SAMPLE_ROWS = 20
LONGEST_CELL = (1 << 31) - 1  # the largest limit that csv accepts on every platform; its default is 128 kB
QUOTED_FIELD = re.compile(r'(?<![^\t\n])"(?:[^"\t]|"")*"(?![^\t\r\n])')
OPEN_QUOTE = re.compile(r'(?<![^\t\n])"')
UNFINISHED = re.compile(r'(?:[^"\t]|"")*')


def _stream(source: SourceFile, default: str) -> Iterator[Row | InputError]:
    sample, mark = _without_mark(_sample(source))
    skipped = 0 if mark is None else 1
    delimiter = _delimiter_of(sample, source.options.delimiter or mark, default, str(source))
    is_quoted = _has_quoted_cells(source, delimiter)
    lines = islice(source.lines(newline=""), skipped, None)
    names: list[str] = []
    try:
        for number, (cells, record, line) in enumerate(_records(lines, delimiter, is_quoted=is_quoted)):
            if is_quoted and _is_open(cells, record, delimiter):
                raise InputError(_unclosed(source, delimiter, cells[-1], number))
            if not names:
                names = [name if name.strip() else f"column_{place}" for place, name in enumerate(cells, start=1)]
                check_names(names, str(source))
            elif len(cells) == len(names):
                yield dict(zip(names, cells, strict=True))
            else:
                yield InputError(_ragged(cells, len(names), delimiter, line + skipped))
    except csv.Error as error:
        raise InputError(f"{source} is not a table separated by {delimiter!r}: {error}.") from error


stream_csv, stream_tsv = partial(_stream, default=","), partial(_stream, default="\t")


def _records(lines: Iterable[str], delimiter: str, *, is_quoted: bool) -> Iterator[tuple[list[str], list[str], int]]:
    """Yield the cells of each row that is not blank, the lines it was read from, and the number of the last of them."""
    record: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            record.append(line)
            yield line

    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(noted(), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE)
    for cells in reader:
        if cells:
            yield cells, record, reader.line_num
        record.clear()


def _is_open(cells: list[str], record: list[str], delimiter: str) -> bool:
    """Say whether the file ends inside the last cell of a row, whose quote has swallowed all rows behind it."""
    if not {"\n", "\r"}.intersection(cells[-1]):  # as in nearly every row: parsing it again would be for nothing
        return False
    try:
        list(csv.reader(record, delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _unclosed(source: SourceFile, delimiter: str, cell: str, row: int) -> str:
    return (
        f"{source} is not a table separated by {delimiter!r}: the quote before {cell[:60]!r} in row {row} (counted "
        "from 1, without the header) is never closed. Close it, or set data.quotes=text (--quotes) if quotes are text."
    )


def _ragged(cells: list[str], width: int, delimiter: str, line: int) -> str:
    return (
        f"Line {line} has {len(cells)} cells where the header has {width}: {delimiter.join(cells)!r:.80}. Correct the "
        f"line (a cell with {delimiter!r} in it stands in quotes), or set data.delimiter (--delimiter)."
    )


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
        rows = islice(_records(io.StringIO(sample, newline=""), sign, is_quoted=True), SAMPLE_ROWS)
        found = [len(cells) for cells, _, _ in rows]
        widths[sign] = found if is_whole else found[:-1] or found  # the last row of a sample may be cut off
    splitting = [sign for sign in signs if widths[sign] and widths[sign][0] > 1]
    even = [sign for sign in splitting if len(set(widths[sign])) == 1]
    return next(iter(even or splitting), default)


def _has_quoted_cells(source: SourceFile, delimiter: str) -> bool:
    """Say whether quotes enclose cells; `auto` looks at files with tabs, where a quote may be text."""
    quotes = source.options.quotes
    return _opens_and_closes(source.lines()) if quotes == "auto" and delimiter == "\t" else quotes != "text"


def _opens_and_closes(lines: Iterable[str]) -> bool:
    """Say whether there are quotes, and every quote that opens a cell is closed at the end of that cell."""
    is_any, rest = False, ""  # rest: the lines from the first cell on that is still open
    for line in lines:
        has_quote = '"' in line
        is_any = is_any or has_quote
        if rest or has_quote:
            rest += line
        if has_quote or (rest and "\t" in line):  # a quote or a tab decides what became of the open cell
            rest = QUOTED_FIELD.sub("", rest)
            opening = OPEN_QUOTE.search(rest)
            if opening is None:
                rest = ""
            elif not UNFINISHED.fullmatch(rest, opening.end()):
                return False
    return is_any and not rest
