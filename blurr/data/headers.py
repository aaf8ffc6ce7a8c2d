"""Read the names of columns from the beginnings of files. Imports nothing heavy."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from blurr.data.formats.content import SourceFile
from blurr.data.formats.dialect import header_of_table
from blurr.data.formats.squad import is_squad
from blurr.data.formats.workbook import header_of_sheet
from blurr.data.sources import FILE_COLUMN

MOST_FILES = 50  # that are opened
LINES = 1000  # of jsonl that are parsed
LARGEST = 16 << 20  # bytes of a json file that are


@dataclass(frozen=True)
class Header:
    """The columns that the beginning of a file shows.

    Attributes:
        names: The columns, in their order.
        source: The file, where later rows may have more columns; None where these are all.
    """

    names: list[str]
    source: SourceFile | None = None

    def may_have(self, column: str) -> bool:
        """Return whether the file may have this column, nested ones by dotted names included."""
        if column in self.names or column.partition(".")[0] in self.names:
            return True
        if self.source is None:
            return False
        is_plain = column.isascii() and not set(column) & set('"\\.')  # else JSON may spell it in another way
        return not is_plain or any(f'"{column}"' in line for line in self.source.lines())


def headers(sources: Sequence[SourceFile]) -> list[Header] | None:
    """Read the headers of files that are read as one set of rows.

    Returns:
        A header for each; None where the columns are not known before the rows are read.

    Raises:
        InputError: A file cannot be read, is empty, or has another encoding.
    """
    if len(sources) > MOST_FILES:
        return None
    found = [HEADERS[source.format](source) if source.format in HEADERS else None for source in sources]
    known = [header for header in found if header is not None]
    if len(known) < len(found):
        return None
    return [*known, Header([FILE_COLUMN])] if len(known) > 1 else known


def _of(names: Sequence[str] | None) -> Header | None:
    return Header(list(names)) if names else None


def _of_parquet(source: SourceFile) -> Header | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return None if source.is_packed else Header(pq.read_schema(source.path).names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError):
        return None  # reading the rows says what is wrong


def _of_json(source: SourceFile) -> Header | None:
    if source.path.stat().st_size > LARGEST or source.is_packed:
        return None
    try:
        content = json.loads(source.read_text())
    except (ValueError, RecursionError):
        return None
    return None if isinstance(content, dict) else _of_objects(content)


def _of_lines(source: SourceFile) -> Header | None:
    lines = (line for line in source.lines() if line.strip())
    try:
        rows = [json.loads(line) for line in islice(lines, LINES)]
    except (ValueError, RecursionError):
        return None
    found = _of_objects(rows)
    return found and Header(found.names, source if len(rows) == LINES else None)


def _of_objects(rows: Any) -> Header | None:
    """Return the keys of all objects of a list; None if it is not one, or nests rows in rows as SQuAD does."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or is_squad(rows[:2]):
        return None
    return _of(list(dict.fromkeys(name for row in rows for name in row)))


HEADERS: dict[str, Callable[[SourceFile], Header | None]] = {
    "csv": lambda source: _of(header_of_table(source, ",")),
    "tsv": lambda source: _of(header_of_table(source, "\t")),
    "json": _of_json,
    "jsonl": _of_lines,
    "parquet": _of_parquet,
    "xlsx": lambda source: _of(header_of_sheet(source)),
    "lines": lambda _: Header(["text"]),
}
