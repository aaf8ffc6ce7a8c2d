"""Predict on all rows of a file, a few batches at a time, and write rows and predictions to another file."""

import csv
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blurr.data.cells import column_of_media, located, without_bytes
from blurr.data.examining import Places, folders_of, places_of
from blurr.data.formats.content import MEDIA, ROWS, FileOptions, Row, SourceFile, chunks
from blurr.data.formats.printed import NotPrintedError, looks_printed, read_printed
from blurr.data.readers import stream_files
from blurr.data.roles import Schema, names_apart
from blurr.data.sources import FILE_COLUMN, Paths, find_files
from blurr.errors import BlurrError, InputError, nearest, resource_error, writing
from blurr.process.terminal import rest
from blurr.runs.jsonlines import to_json
from blurr.serve.beside import FilesBeside
from blurr.serve.predictor import Predictor
from blurr.training.inference import watched

AS_USUAL = FileOptions()
PREDICTION, ERROR = "prediction", "error"  # the columns that are added
POOL = 32  # batches in memory; rows of similar length are put together within them
POOL_OF_MEDIA = 2  # whose batches are large, and of one size
SMALL = 8 * 2**20  # bytes of files whose rows are counted first
MOST_NAMED = 10  # failed rows that are reported
# half of a surrogate pair, which UTF-8 cannot hold, becomes the escape that JSON has for it
ENCODED: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
LONE_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}")  # as JSON escapes it
OF_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that spreadsheets take for a formula
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 2**20, 2**14, 32_767  # of an xlsx sheet, and of a cell
Read = Callable[[], Iterator[Row]]


class NoRoomError(ValueError):
    """A format cannot hold what is to be written."""


@dataclass
class Tally:
    """How many rows of a file were predicted on.

    Attributes:
        rows: number of rows.
        failed: number of rows without a prediction.
        named: number, counted from 1, of the first failed rows, with the reason.
        seconds: time for all rows.
    """

    rows: int = 0
    failed: int = 0
    named: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, result: Any) -> Row:
        """Count a result, and return the columns that hold it."""
        self.rows += 1
        if not isinstance(result, Exception):
            return {PREDICTION: result}
        self.failed += 1
        known = result if isinstance(result, BlurrError) else resource_error(result)
        reason = str(known or f"{type(result).__name__}: {result}")
        if self.failed <= MOST_NAMED:
            self.named[self.rows] = reason
        return {ERROR: reason}


def predict_file(
    predictor: Predictor,
    source: Paths,
    target: Path,
    *,
    columns: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    reading: FileOptions = AS_USUAL,
    escape_formulas: bool = False,
) -> Tally:
    """Predict on the rows of a file.

    A row that cannot be predicted on is written with its `error`, and does not stop the others. If the format can be
    read row by row, only a few batches are in memory at a time.

    Args:
        predictor: the model.
        source: a file, a folder or a pattern, as for `data=files`.
        target: a csv, tsv, xlsx, jsonl or parquet file. It gets the rows unchanged, and the column `prediction` (in
            csv, tsv and xlsx, a column for each of its fields: `prediction.label`; masks are files in a folder beside)
            or `error`. A column of the source
            with such a name becomes `source_<its name>`.
        columns: role to column; other roles are read from the column of training, or from one with the role's name.
        options: see `Predictor.options`.
        reading: how to read the source.
        escape_formulas: write an apostrophe before texts that a spreadsheet would take for formulas; for csv, tsv and
            xlsx, see `inert`.

    Raises:
        InputError: a file, a column or an option is wrong.
        ResourceError: the target cannot be written.
    """
    check_target(target, escape_formulas=escape_formulas)
    predictor.check_options(dict(options or {}))
    trained_on = {role: column for role, column in predictor.saved.columns.items() if isinstance(column, str)}
    named = {**trained_on, **(columns or {})}
    schema = predictor.saved.task.schema
    sources = find_files(source, reading, text=frozenset({*named.values(), *predictor.roles}), media=schema.suffixes)
    _check_apart(target, [each.path for each in sources])
    tally, part = Tally(), target.with_name(f"{target.name}.part")
    started = time.monotonic()
    found: dict[str, str] = {}
    places = places_of(sources)
    beside = FilesBeside(target, _files_of(predictor, target))
    total = _count(sources)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo, writing(target), part.open("w", **ENCODED) as file, Bar(total) as bar:
        undo.callback(part.unlink)
        size = predictor.batch_size * (POOL_OF_MEDIA if schema.media else POOL)
        for chunk in chunks(stream_files(sources), size):
            found = found or _found(chunk, predictor, named, str(source))
            with bar.part(tally.rows, len(chunk), read=sum(each.done for each in sources) / len(sources)):
                items = _items(chunk, schema, found, places)
                rows = _predicted(chunk, items, predictor, options or {}, tally, beside)
                file.writelines(f"{to_json(row)}\n" for row in rows)
        undo.pop_all()
    convert(part, target, escape_formulas=escape_formulas)
    tally.seconds = time.monotonic() - started
    return tally


def _files_of(predictor: Predictor, target: Path) -> Mapping[str, str]:
    """Return the fields of predictions that are files of their own beside a table that people read."""
    return predictor.saved.task.target.files if target.suffix.lower() in OF_SPREADSHEETS else {}


def _found(
    chunk: list[Row | InputError], predictor: Predictor, columns: Mapping[str, str], source: str
) -> dict[str, str]:
    """Return the column of each role, as far as the first readable row has it."""
    first: Row = next((row for row in chunk if isinstance(row, dict)), {})
    schema = predictor.saved.task.schema
    rows = [row for row in chunk if isinstance(row, dict)] if schema.shaper else [first]  # each may have its own shape
    there = list(dict.fromkeys(name for row in rows for name in row))
    found_for = {}
    for role in predictor.roles:
        others = schema.aliases.get(role, ())
        found = next((column for column in (columns.get(role), role, *others) if column in there), None)
        if found is None and role in predictor.media:
            found = column_of_media(first, predictor.media[role])
        if found is not None:
            found_for[role] = found
        elif there and role in schema.required and schema.shaper is None:
            wanted = columns.get(role, role)
            raise InputError(
                f"{source} has no column {wanted!r} with the {role}.{nearest(wanted, there)} It has {there}; name the "
                f"right one by --column {role}=…"
            )
    if there and not found_for:
        raise InputError(
            f"{source} has no column for {' or '.join(predictor.roles)}. It has {there}; name one: --column …"
        )
    return found_for


def _items(
    chunk: list[Row | InputError], schema: Schema, columns: Mapping[str, str], places: Places
) -> list[dict[str, Any]]:
    """Return the items of the readable rows; a relative path starts beside its table, or at the current folder."""
    items = []
    for row in chunk:
        if isinstance(row, dict):
            item = {role: _value(row.get(column), role in schema.lists) for role, column in columns.items()}
            for role in schema.media.keys() & item.keys():
                item[role] = located(item[role], folders_of(row.get(FILE_COLUMN), places))
            items.append(item)
    return items


def _predicted(
    chunk: list[Row | InputError],
    items: list[dict[str, Any]],
    predictor: Predictor,
    options: Mapping[str, Any],
    tally: Tally,
    beside: FilesBeside,
) -> Iterator[Row]:
    results = map(beside, items, predictor.predict_each(items, **options))
    for row in chunk:
        if isinstance(row, dict):
            yield {**_apart(without_bytes(row)), **tally.add(next(results))}
        else:
            yield tally.add(row)


def _value(cell: Any, is_list: bool) -> Any:
    """Parse a list that is printed in a cell, as training does; any other text stays text."""
    if not is_list or not isinstance(cell, str) or not looks_printed(cell):
        return cell
    with suppress(NotPrintedError):
        return read_printed(cell)
    return cell


def _apart(row: Row) -> Row:
    """Rename columns that the results would overwrite, such as those of another model."""
    ours = {name for name in row if name in (PREDICTION, ERROR) or name.startswith(f"{PREDICTION}.")}
    names = names_apart(row, ours)
    return {names.get(name, name): value for name, value in row.items()}


class Bar:
    """A progress bar, if stderr is a terminal: it moves with every batch.

    Args:
        total: number of rows; None if it is not known, and the bar follows what is read.
    """

    def __init__(self, total: int | None) -> None:
        console = Console(stderr=True)
        parts = (
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._bar = Progress(*parts, console=console, transient=True, disable=not console.is_terminal)
        self._line = self._bar.add_task("", total=1.0, said="")
        self._total, self._begun, self.share = total, time.monotonic(), 0.0

    def __enter__(self) -> Self:
        """Show the bar."""
        rest()
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    @contextmanager
    def part(self, before: int, count: int, *, read: float) -> Iterator[None]:
        """Move while `count` rows are predicted in the block.

        Args:
            before: number of rows that are done.
            count: number of rows of the block.
            read: share of the files that is read.
        """
        start, end = self.share, read if self._total is None else (before + count) / max(self._total, 1)

        def move(share: float) -> None:
            rows = before + round(share * count)
            self.share = max(self.share, start + share * (end - start))
            speed = rows / (time.monotonic() - self._begun)
            self._bar.update(self._line, completed=self.share, said=f"{rows:,} rows, {speed:,.0f} a second")

        move(0.0)
        with watched(move):
            yield
        move(1.0)


def _count(sources: Sequence[SourceFile]) -> int | None:
    """Return the number of rows of small files; None for large ones, which are not read twice."""
    if sources[0].format == MEDIA:
        return len(sources)
    if sum(each.path.stat().st_size for each in sources) > SMALL:
        return None
    copies = [replace(each) for each in sources]  # each says how far it has been read
    return sum(1 for _ in stream_files(copies))


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


def _check_apart(target: Path, sources: Sequence[Path]) -> None:
    """Refuse to write over a file that is read."""
    if target.exists() and any(target.samefile(source) for source in sources if source.exists()):
        raise InputError(f"{target} is the input, too, and would be overwritten. Name another file: --output …")


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
