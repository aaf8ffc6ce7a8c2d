"""Predict on all rows of a file, a few batches at a time, and write rows and predictions to another file."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blurr.data.cells import column_of_media, located, without_bytes
from blurr.data.examining import Places, folders_of, places_of
from blurr.data.formats.content import MEDIA, FileOptions, Row, SourceFile, chunks
from blurr.data.formats.printed import NotPrintedError, looks_printed, read_printed
from blurr.data.readers import stream_files
from blurr.data.roles import Schema, names_apart
from blurr.data.sources import FILE_COLUMN, Paths, find_files
from blurr.errors import BlurrError, InputError, nearest, resource_error, writing
from blurr.process.terminal import rest
from blurr.runs.jsonlines import to_json
from blurr.serve.beside import FilesBeside
from blurr.serve.converting import ENCODED, OF_SPREADSHEETS, check_target, convert
from blurr.serve.predictor import Predictor
from blurr.training.inference import watched

AS_USUAL = FileOptions()
PREDICTION, ERROR = "prediction", "error"  # the columns that are added
POOL = 32  # batches in memory; rows of similar length are put together within them
POOL_OF_MEDIA = 2  # whose batches are large, and of one size
SMALL = 8 * 2**20  # bytes of files whose rows are counted first
MOST_NAMED = 10  # failed rows that are reported


@dataclass
class Tally:
    """How many rows of a file were predicted on.

    Attributes:
        rows: number of rows.
        failed: number of rows without a prediction.
        named: number, counted from 1, of the first failed rows, with the reason.
        seconds: time for all rows.
        can_be_scored: the rows have what the model learned to predict.
        lines: of a text file that was read as one row; 0 of all others.
    """

    rows: int = 0
    failed: int = 0
    named: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    can_be_scored: bool = False
    lines: int = 0

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
            tally.can_be_scored = tally.can_be_scored or _can_be_scored(chunk, predictor)
            with bar.part(tally.rows, len(chunk), read=sum(each.done for each in sources) / len(sources)):
                items = _items(chunk, schema, found, places)
                rows = _predicted(chunk, items, predictor, options or {}, tally, beside)
                file.writelines(f"{to_json(row)}\n" for row in rows)
        undo.pop_all()
    convert(part, target, escape_formulas=escape_formulas)
    tally.seconds = time.monotonic() - started
    if [each.format for each in sources] == ["text"]:
        tally.lines = sum(1 for line in replace(sources[0]).lines() if line.strip())
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
        elif there and role in predictor.saved.needed and schema.shaper is None:
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


def _can_be_scored(chunk: list[Row | InputError], predictor: Predictor) -> bool:
    """Return whether rows have what the model learned to predict."""
    label = predictor.saved.task.schema.label
    if label is None:
        return True
    columns = predictor.saved.columns.get(label) or label
    wanted = {columns} if isinstance(columns, str) else set(columns)
    return any(isinstance(row, dict) and row.keys() >= wanted for row in chunk)


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


def _check_apart(target: Path, sources: Sequence[Path]) -> None:
    """Refuse to write over a file that is read."""
    if target.exists() and any(target.samefile(source) for source in sources if source.exists()):
        raise InputError(f"{target} is the input, too, and would be overwritten. Name another file: --output …")
