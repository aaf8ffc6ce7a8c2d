"""Predict on all rows of a file, a part at a time, and write them with their predictions to another."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blurr.data.formats.printed import NotPrintedError, looks_printed, read_printed
from blurr.data.own_columns import names_apart
from blurr.data.readers import FileOptions
from blurr.errors import InputError, nearest, writing
from blurr.runs.jsonlines import to_json
from blurr.serve.predictor import Predictor
from blurr.serve.tables import AS_USUAL, Row, Source, check_target, chunks, convert

PREDICTION, ERROR = "prediction", "error"  # the columns that are added
POOL = 32  # batches within which rows are sorted by length
MOST_NAMED = 10  # of the rows that could not be predicted on


@dataclass
class Tally:
    """What came of a file.

    Attributes:
        rows: how many it has.
        failed: how many of them could not be predicted on.
        named: number, from 1, of the first of these, and why.
        seconds: how long it took.
    """

    rows: int = 0
    failed: int = 0
    named: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, result: Any) -> Row:
        """Count a result, and give the columns that hold it."""
        self.rows += 1
        if not isinstance(result, InputError):
            return {PREDICTION: result}
        self.failed += 1
        if self.failed <= MOST_NAMED:
            self.named[self.rows] = str(result)
        return {ERROR: str(result)}


def predict_file(
    predictor: Predictor,
    source: Path,
    target: Path,
    *,
    columns: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    reading: FileOptions = AS_USUAL,
) -> Tally:
    """Predict on the rows of a file.

    A row that cannot be predicted on is written with its `error`, and the others are predicted on. No more rows are in
    memory than a few batches.

    Args:
        predictor: of any task.
        source: a file of any format that `data=files` reads; csv, tsv, jsonl and parquet of any size.
        target: a csv, tsv, jsonl or parquet file; it gets the rows as they are, and the column `prediction` (in csv
            and tsv, a column for each of its fields: `prediction.label`) or `error`. A column of the source
            with such a name becomes `source_<its name>`.
        columns: role to column; a role that is not named is looked for as in training, and under its own name.
        options: see `Predictor.options`.
        reading: encoding and delimiter of a source of text.

    Raises:
        InputError: a file or its columns are not what they should be.
        ResourceError: the target cannot be written.
    """
    check_target(target)
    predictor.check_options(dict(options or {}))
    named = {**_trained_on(predictor), **(columns or {})}
    rows = Source(source, reading, text=frozenset({*named.values(), *predictor.roles}))
    outcome, part = Tally(), target.with_name(f"{target.name}.part")
    started, places = time.monotonic(), None
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo, writing(target), part.open("w", encoding="utf-8") as file, _progress() as (bar, line):
        undo.callback(part.unlink)
        for chunk in chunks(rows, predictor.batch_size * POOL):
            if places is None:
                places = _places(chunk, predictor, named, str(source))
            file.writelines(f"{to_json(row)}\n" for row in _predicted(chunk, predictor, places, options or {}, outcome))
            speed = outcome.rows / (time.monotonic() - started)
            bar.update(line, completed=rows.done, said=f"{outcome.rows:,} rows, {speed:,.0f} a second")
        undo.pop_all()
    convert(part, target)
    outcome.seconds = time.monotonic() - started
    return outcome


def _trained_on(predictor: Predictor) -> dict[str, str]:
    return {role: column for role, column in predictor.saved.columns.items() if isinstance(column, str)}


def _places(
    chunk: list[Row | InputError], predictor: Predictor, columns: Mapping[str, str], source: str
) -> dict[str, str]:
    """Find the column of each role, by the first row that can be read."""
    there = next((list(row) for row in chunk if isinstance(row, dict)), [])
    places = {}
    for role in predictor.roles:
        found = next((column for column in (columns.get(role), role) if column in there), None)
        if found is not None:
            places[role] = found
        elif there and role in predictor.saved.task.schema.required:
            wanted = columns.get(role, role)
            raise InputError(
                f"{source} has no column {wanted!r} with the {role}.{nearest(wanted, there)} It has {there}; name the "
                f"right one by --column {role}=…"
            )
    return places


def _predicted(
    chunk: list[Row | InputError],
    predictor: Predictor,
    places: Mapping[str, str],
    options: Mapping[str, Any],
    outcome: Tally,
) -> Iterator[Row]:
    readable = [row for row in chunk if isinstance(row, dict)]
    lists = predictor.saved.task.schema.lists
    items = [{r: _value(row.get(column), r in lists) for r, column in places.items()} for row in readable]
    results = iter(predictor.predict_each(items, **options))
    for row in chunk:
        if isinstance(row, dict):
            yield {**_apart(row), **outcome.add(next(results))}
        else:
            yield outcome.add(row)


def _value(cell: Any, is_list: bool) -> Any:
    """Read a list that stands printed in a cell, as training does; any other text is a text."""
    if not is_list or not isinstance(cell, str) or not looks_printed(cell):
        return cell
    with suppress(NotPrintedError):
        return read_printed(cell)
    return cell


def _apart(row: Row) -> Row:
    """Rename what the results, or their fields in csv, would overwrite, such as the results of another model."""
    ours = {name for name in row if name in (PREDICTION, ERROR) or name.startswith(f"{PREDICTION}.")}
    names = names_apart(row, ours)
    return {names.get(name, name): value for name, value in row.items()}


@contextmanager
def _progress() -> Iterator[tuple[Progress, Any]]:
    """Draw a bar where the output is a terminal."""
    console = Console(stderr=True)
    parts = (
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*parts, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("", total=1.0, said="")
