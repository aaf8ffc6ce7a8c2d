"""Convert JSON lines to csv, tsv or parquet, a thousand rows at a time."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from blurr.data.formats.content import Row
from blurr.data.formats.tables import ROWS, chunks
from blurr.errors import InputError, nearest, writing


def check_target(path: Path) -> None:
    """Raise an InputError if there is no writer for the suffix of a file."""
    if path.suffix.lower() not in WRITERS:
        raise InputError(
            f"{path} is of no known format.{nearest(path.suffix, WRITERS)} Give a file whose name ends in one of "
            f"{list(WRITERS)}."
        )


def convert(part: Path, target: Path) -> None:
    """Convert a jsonl file to the format of the target's suffix, and delete it; the target is whole or not there.

    The rows are read twice, because columns and types are known only after the last one.

    Raises:
        InputError: a column has values of several types, which parquet cannot hold.
        ResourceError: the target cannot be written; the jsonl file stays.
    """
    made = target.with_name(f"{target.name}.converted")
    write = WRITERS[target.suffix.lower()]
    with writing(target, f"Make room. The predictions are kept as JSON lines in {part}."):
        if write is not None:
            with ExitStack() as undo:
                undo.callback(made.unlink, missing_ok=True)
                write(part, made)
                undo.pop_all()
            part.unlink()
        (part if write is None else made).replace(target)


def _records(part: Path) -> Iterator[Row]:
    with part.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _flat(row: Row) -> Row:
    """Flatten the fields of a prediction to `prediction.label` and so on, and write other lists and dicts as JSON."""
    flat: Row = {}
    for name, value in row.items():
        fields = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        for key, each in fields.items():
            flat[key] = json.dumps(each, ensure_ascii=False) if isinstance(each, list | dict) else each
    return flat


def _write_csv(part: Path, made: Path, delimiter: str = ",") -> None:
    names = dict.fromkeys(name for row in _records(part) for name in _flat(row))
    with made.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(_flat(row) for row in _records(part))


def _write_parquet(part: Path, made: Path) -> None:
    try:
        tables = (_table(rows) for rows in chunks(_records(part), ROWS))
        schema = pa.unify_schemas([table.schema for table in tables] or [pa.schema([])], promote_options="permissive")
        with pq.ParquetWriter(made, schema) as writer:
            for rows in chunks(_records(part), ROWS):
                writer.write_table(_table(rows, schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"The results do not fit into parquet: {error}. They are in {part}.") from error


def _table(rows: list[Row], schema: pa.Schema | None = None) -> pa.Table:
    if schema is not None:
        return pa.Table.from_pylist(rows, schema=schema)
    names = dict.fromkeys(name for row in rows for name in row)  # from_pylist takes the columns of the first row only
    return pa.table({name: [row.get(name) for row in rows] for name in names})


WRITERS: dict[str, Callable[[Path, Path], None] | None] = {
    ".csv": _write_csv,
    ".tsv": partial(_write_csv, delimiter="\t"),
    ".jsonl": None,  # the rows are in this format already
    ".parquet": _write_parquet,
}
