"""Write rows that are JSON lines in the format that a file's suffix names."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from blurr.data.formats.content import ROWS, Row, chunks
from blurr.errors import InputError, nearest, writing

# half of a surrogate pair, which UTF-8 cannot hold, becomes the escape that JSON has for it
ENCODED: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
LONE_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}")  # as JSON escapes it
OF_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that spreadsheets take for a formula
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 2**20, 2**14, 32_767  # of an xlsx sheet, and of a cell
Read = Callable[[], Iterator[Row]]


class NoRoomError(ValueError):
    """A format cannot hold what is to be written."""


def check_target(path: Path, *, escape_formulas: bool = False) -> None:
    """Raise an InputError if there is no writer for the suffix of a file, or its format has no formulas to escape."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise InputError(
            f"{path} is of no known format.{nearest(path.suffix, WRITERS)} Give a file whose name ends in one of "
            f"{list(WRITERS)}."
        )
    if escape_formulas and suffix not in OF_SPREADSHEETS:
        raise InputError(
            f"--escape-formulas is for {', '.join(OF_SPREADSHEETS)}: no program looks for formulas in {suffix}."
        )


def convert(part: Path, target: Path, *, escape_formulas: bool = False) -> None:
    """Convert a jsonl file to the format of the target's suffix, and delete it; the target is whole or not there.

    The rows are read twice, because columns and types are known only after the last one.

    Raises:
        InputError: a column has values of several types, which parquet cannot hold, or a sheet is too small.
        ResourceError: the target cannot be written; the jsonl file stays.
    """
    made, suffix = target.with_name(f"{target.name}.converted"), target.suffix.lower()
    write = WRITERS[suffix]
    flat = partial(_flat_records, are_inert=escape_formulas)
    read = partial(flat if suffix in OF_SPREADSHEETS else _records, part)
    with writing(target, f"Make room. The predictions are kept as JSON lines in {part}."):
        if write is not None:
            with ExitStack() as undo:
                undo.callback(made.unlink, missing_ok=True)
                try:
                    write(read, made)
                except (pa.ArrowInvalid, pa.ArrowTypeError, NoRoomError) as error:
                    raise InputError(
                        f"The results do not fit into {suffix[1:]}: {error}. They are in {part}."
                    ) from error
                undo.pop_all()
            part.unlink()
        (part if write is None else made).replace(target)


def _records(part: Path) -> Iterator[Row]:
    """Read the rows; half of a surrogate pair, which only JSON can hold, becomes U+FFFD."""
    with part.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(LONE_ESCAPE.sub(r"\1\\ufffd", line) if "\\ud" in line else line)


def _flat(row: Row) -> Row:
    """Flatten the fields of a prediction to `prediction.label` and so on, and write other lists and dicts as JSON."""
    flat: Row = {}
    for name, value in row.items():
        fields = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        for key, each in fields.items():
            flat[key] = json.dumps(each, ensure_ascii=False) if isinstance(each, list | dict) else each
    return flat


def _flat_records(part: Path, *, are_inert: bool = False) -> Iterator[Row]:
    rows = map(_flat, _records(part))
    return ({inert(name): inert(value) for name, value in row.items()} for row in rows) if are_inert else rows


def inert(value: Any) -> Any:
    """Write an apostrophe before a text that a spreadsheet would take for a formula.

    Source: OWASP, CSV Injection (owasp.org/www-community/attacks/CSV_Injection). A text that is a number, such as
    `-5`, stays as it is.
    """
    if not isinstance(value, str) or not value.startswith(OF_FORMULAS):
        return value
    with suppress(ValueError):
        float(value)
        return value
    return f"'{value}"


def _columns(read: Read) -> list[str]:
    return list(dict.fromkeys(name for row in read() for name in row))


def _write_csv(read: Read, made: Path, delimiter: str = ",") -> None:
    with made.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _columns(read), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(read())


def _write_xlsx(read: Read, made: Path) -> None:
    """Write a sheet whose texts are texts, also those that begin with an equals sign."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    names = _columns(read)
    _check_room(read, len(names))
    book = Workbook(write_only=True)
    sheet = book.create_sheet()

    def cell(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("\ufffd", value))
        text.data_type = "s"
        return text

    for row in chain([dict(zip(names, names, strict=True))], read()):
        sheet.append([cell(row.get(name)) for name in names])
    book.save(made)


def _check_room(read: Read, columns: int) -> None:
    """Check that rows fit into a sheet, before one is begun."""
    for number, row in enumerate(read(), 2):  # the first row has the names
        if number > MOST_ROWS or columns > MOST_COLUMNS:
            raise NoRoomError(f"a sheet holds {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns")
        longest = max((len(value) for value in row.values() if isinstance(value, str)), default=0)
        if longest > MOST_CHARACTERS:
            raise NoRoomError(f"a cell holds {MOST_CHARACTERS} characters, and a text has {longest}")


def _write_parquet(read: Read, made: Path) -> None:
    tables = (_table(rows) for rows in chunks(read(), ROWS))
    schema = pa.unify_schemas([table.schema for table in tables] or [pa.schema([])], promote_options="permissive")
    with pq.ParquetWriter(made, schema) as writer:
        for rows in chunks(read(), ROWS):
            writer.write_table(_table(rows, schema))


def _table(rows: list[Row], schema: pa.Schema | None = None) -> pa.Table:
    if schema is not None:
        return pa.Table.from_pylist(rows, schema=schema)
    names = dict.fromkeys(name for row in rows for name in row)  # from_pylist takes the columns of the first row only
    return pa.table({name: [row.get(name) for row in rows] for name in names})


OF_SPREADSHEETS = (".csv", ".tsv", ".xlsx")
WRITERS: dict[str, Callable[[Read, Path], None] | None] = {
    ".csv": _write_csv,
    ".tsv": partial(_write_csv, delimiter="\t"),
    ".xlsx": _write_xlsx,
    ".jsonl": None,  # the rows are in this format already
    ".parquet": _write_parquet,
}
