"""Predict on all rows of a file, a few batches at a time, and write rows and predictions to another file."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blurr.data.formats.content import FileOptions, Row
from blurr.data.formats.printed import NotPrintedError, looks_printed, read_printed
from blurr.data.formats.tables import chunks
from blurr.data.readers import Paths, find_files, stream_files
from blurr.data.roles import names_apart
from blurr.errors import InputError, nearest, writing
from blurr.runs.jsonlines import to_json
from blurr.serve.converting import check_target, convert
from blurr.serve.predictor import Predictor

AS_USUAL = FileOptions()
PREDICTION, ERROR = "prediction", "error"  # the columns that are added
POOL = 32  # batches in memory; rows of similar length are put together within them
MOST_NAMED = 10  # failed rows that are reported


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
        if not isinstance(result, InputError):
            return {PREDICTION: result}
        self.failed += 1
        if self.failed <= MOST_NAMED:
            self.named[self.rows] = str(result)
        return {ERROR: str(result)}


def predict_file(
    predictor: Predictor,
    source: Paths,
    target: Path,
    *,
    columns: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    reading: FileOptions = AS_USUAL,
) -> Tally:
    """Predict on the rows of a file.

    A row that cannot be predicted on is written with its `error`, and does not stop the others. If the format can be
    read row by row, only a few batches are in memory at a time.

    Args:
        predictor: the model.
        source: a file, a folder or a pattern, as for `data=files`.
        target: a csv, tsv, jsonl or parquet file. It gets the rows unchanged, and the column `prediction` (in csv and
            tsv, a column for each of its fields: `prediction.label`) or `error`. A column of the source with such a
            name becomes `source_<its name>`.
        columns: role to column; other roles are read from the column of training, or from one with the role's name.
        options: see `Predictor.options`.
        reading: how to read the source.

    Raises:
        InputError: a file, a column or an option is wrong.
        ResourceError: the target cannot be written.
    """
    check_target(target)
    predictor.check_options(dict(options or {}))
    trained_on = {role: column for role, column in predictor.saved.columns.items() if isinstance(column, str)}
    named = {**trained_on, **(columns or {})}
    sources = find_files(source, reading, text=frozenset({*named.values(), *predictor.roles}))
    tally, part = Tally(), target.with_name(f"{target.name}.part")
    started = time.monotonic()
    found: dict[str, str] = {}
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo, writing(target), part.open("w", encoding="utf-8") as file, _progress() as (bar, line):
        undo.callback(part.unlink)
        for chunk in chunks(stream_files(sources), predictor.batch_size * POOL):
            found = found or _found(chunk, predictor, named, str(source))
            file.writelines(f"{to_json(row)}\n" for row in _predicted(chunk, predictor, found, options or {}, tally))
            speed, done = tally.rows / (time.monotonic() - started), sum(each.done for each in sources)
            bar.update(line, completed=done / len(sources), said=f"{tally.rows:,} rows, {speed:,.0f} a second")
        undo.pop_all()
    convert(part, target)
    tally.seconds = time.monotonic() - started
    return tally


def _found(
    chunk: list[Row | InputError], predictor: Predictor, columns: Mapping[str, str], source: str
) -> dict[str, str]:
    """Return the column of each role, as far as the first readable row has it."""
    there = next((list(row) for row in chunk if isinstance(row, dict)), [])
    found_for = {}
    for role in predictor.roles:
        found = next((column for column in (columns.get(role), role) if column in there), None)
        if found is not None:
            found_for[role] = found
        elif there and role in predictor.saved.task.schema.required:
            wanted = columns.get(role, role)
            raise InputError(
                f"{source} has no column {wanted!r} with the {role}.{nearest(wanted, there)} It has {there}; name the "
                f"right one by --column {role}=…"
            )
    return found_for


def _predicted(
    chunk: list[Row | InputError],
    predictor: Predictor,
    columns: Mapping[str, str],
    options: Mapping[str, Any],
    tally: Tally,
) -> Iterator[Row]:
    readable = [row for row in chunk if isinstance(row, dict)]
    lists = predictor.saved.task.schema.lists
    items = [{r: _value(row.get(column), r in lists) for r, column in columns.items()} for row in readable]
    results = iter(predictor.predict_each(items, **options))
    for row in chunk:
        if isinstance(row, dict):
            yield {**_apart(row), **tally.add(next(results))}
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


@contextmanager
def _progress() -> Iterator[tuple[Progress, Any]]:
    """Show a progress bar if stderr is a terminal."""
    console = Console(stderr=True)
    parts = (
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*parts, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("", total=1.0, said="")
