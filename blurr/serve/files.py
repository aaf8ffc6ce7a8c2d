"""Predict on all rows of a file, some batches at a time, and write them with their predictions to another."""

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
from blurr.data.own_columns import names_apart
from blurr.data.readers import Paths, find_files, stream_files
from blurr.errors import InputError, nearest, writing
from blurr.runs.jsonlines import to_json
from blurr.serve.converting import check_target, chunks, convert
from blurr.serve.predictor import Predictor

AS_USUAL = FileOptions()
PREDICTION, ERROR = "prediction", "error"  # the columns that are added
POOL = 32  # batches of rows in memory, among which rows of similar length are put together
MOST_NAMED = 10  # failed rows


@dataclass
class Tally:
    """What became of the rows of a file.

    Attributes:
        rows: Number of rows.
        failed: Number of rows without a prediction.
        named: Number, from 1, of the first failed rows, and the reason.
        seconds: How long it took.
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

    A row that cannot be predicted on is written with its `error`, and does not stop the others. Of formats that can be
    read row by row, a few batches are in memory at a time.

    Args:
        predictor: A trained model of any task.
        source: A file, a folder or a pattern, as `data=files` reads them; csv, tsv, jsonl and parquet of any size.
        target: A csv, tsv, jsonl or parquet file. It gets the rows as they are, and the column `prediction` (in csv
            and tsv, a column for each of its fields: `prediction.label`) or `error`. A column of the source
            with such a name becomes `source_<its name>`.
        columns: Role to column; a role that is not named is looked for as in training, and under its own name.
        options: See `Predictor.options`.
        reading: How to read the source.

    Raises:
        InputError: A file or its columns are not what they should be.
        ResourceError: The target cannot be written.
    """
    check_target(target)
    predictor.check_options(dict(options or {}))
    named = {**_trained_on(predictor), **(columns or {})}
    sources = find_files(source, reading, text=frozenset({*named.values(), *predictor.roles}))
    outcome, part = Tally(), target.with_name(f"{target.name}.part")
    started = time.monotonic()
    found: dict[str, str] = {}
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo, writing(target), part.open("w", encoding="utf-8") as file, _progress() as (bar, line):
        undo.callback(part.unlink)
        for chunk in chunks(stream_files(sources), predictor.batch_size * POOL):
            found = found or _found(chunk, predictor, named, str(source))
            file.writelines(f"{to_json(row)}\n" for row in _predicted(chunk, predictor, found, options or {}, outcome))
            speed, done = outcome.rows / (time.monotonic() - started), sum(each.done for each in sources)
            bar.update(line, completed=done / len(sources), said=f"{outcome.rows:,} rows, {speed:,.0f} a second")
        undo.pop_all()
    convert(part, target)
    outcome.seconds = time.monotonic() - started
    return outcome


def _trained_on(predictor: Predictor) -> dict[str, str]:
    return {role: column for role, column in predictor.saved.columns.items() if isinstance(column, str)}


def _found(
    chunk: list[Row | InputError], predictor: Predictor, columns: Mapping[str, str], source: str
) -> dict[str, str]:
    """Return the column of each role that the first readable row has."""
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
    outcome: Tally,
) -> Iterator[Row]:
    readable = [row for row in chunk if isinstance(row, dict)]
    lists = predictor.saved.task.schema.lists
    items = [{r: _value(row.get(column), r in lists) for r, column in columns.items()} for row in readable]
    results = iter(predictor.predict_each(items, **options))
    for row in chunk:
        if isinstance(row, dict):
            yield {**_apart(row), **outcome.add(next(results))}
        else:
            yield outcome.add(row)


def _value(cell: Any, is_list: bool) -> Any:
    """Read a list that is printed into a cell, as training does; any other text stays a text."""
    if not is_list or not isinstance(cell, str) or not looks_printed(cell):
        return cell
    with suppress(NotPrintedError):
        return read_printed(cell)
    return cell


def _apart(row: Row) -> Row:
    """Rename columns that the results, or their fields in csv, would overwrite: the results of another model."""
    ours = {name for name in row if name in (PREDICTION, ERROR) or name.startswith(f"{PREDICTION}.")}
    names = names_apart(row, ours)
    return {names.get(name, name): value for name, value in row.items()}


@contextmanager
def _progress() -> Iterator[tuple[Progress, Any]]:
    """Draw a bar if the output is a terminal."""
    console = Console(stderr=True)
    parts = (
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*parts, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("", total=1.0, said="")
