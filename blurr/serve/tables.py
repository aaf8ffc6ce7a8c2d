"""Stream rows from and to files of any size: csv, jsonl and parquet, by their suffix."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from blurr.errors import InputError, nearest

Row = dict[str, Any]
T = TypeVar("T")
CHUNK = 1000  # rows that are held at a time where a file is converted


class Source:
    """The rows of a file, one after the other; what cannot be read as a row is its InputError.

    Args:
        path: a file that ends in .csv, .jsonl or .parquet.

    Attributes:
        done: share of the file that has been read, 0 to 1.

    Raises:
        InputError: there is no such file, or it is of no such format.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            there = [other.name for other in path.parent.glob("*")]
            near = nearest(path.name, there)
            raise InputError(f"There is no file {path}.{near} Relative paths start at {Path.cwd()}.")
        self.path, self.done = path, 0.0
        self._read = READERS[suffix_of(path)]

    def __iter__(self) -> Iterator[Row | InputError]:
        """Read the file from its beginning."""
        return self._read(self)


def chunks(values: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `n`, the last of them shorter."""
    stream = iter(values)
    while chunk := list(islice(stream, n)):
        yield chunk


def suffix_of(path: Path) -> str:
    """Give the suffix that names a file's format.

    Raises:
        InputError: it names none.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise InputError(
            f"{path} is of no known format.{nearest(suffix, READERS)} Give a file whose name ends in {list(READERS)}."
        )
    return suffix


def _csv_rows(source: Source) -> Iterator[Row | InputError]:
    for number, row in enumerate(csv.DictReader(_lines(source)), start=1):
        if None in row:  # where DictReader puts the values beyond the last column
            yield InputError(f"Row {number} has more values than the file has columns.")
        else:
            yield dict(row)


def _jsonl_rows(source: Source) -> Iterator[Row | InputError]:
    for number, line in enumerate(_lines(source), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield InputError(f"Line {number} is not JSON: {error.msg}.")
            continue
        yield row if isinstance(row, dict) else InputError(f"Line {number} is no object with named values.")


def _lines(source: Source) -> Iterator[str]:
    """Give the lines of a text file, and note how far it is read."""
    size = max(source.path.stat().st_size, 1)
    with source.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            source.done = file.tell() / size
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{source.path} is not encoded in UTF-8, see line {number}: {error.reason}."
                ) from error


def _parquet_rows(source: Source) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(source.path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source.path} is not a parquet file: {error}.") from error
    read = 0
    for batch in file.iter_batches(batch_size=CHUNK):
        for row in batch.to_pylist():
            read += 1
            source.done = read / file.metadata.num_rows
            yield row


READERS: dict[str, Callable[[Source], Iterator[Row | InputError]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
}


# -- out


def convert(part: Path, target: Path) -> None:
    """Make the target, of the format that its suffix names, of a jsonl file with its rows, and delete that file.

    Columns and types are known only when all rows are: so the rows are read twice, a thousand at a time.

    Args:
        part: the jsonl file.
        target: what to make; it is whole or not there.

    Raises:
        InputError: parquet cannot hold values of several types in a column.
    """
    made = target.with_name(f"{target.name}.converted")
    write = {".csv": _write_csv, ".parquet": _write_parquet}.get(suffix_of(target))
    if write is not None:
        write(part, made)
        part.unlink()
    (part if write is None else made).replace(target)


def _records(part: Path) -> Iterator[Row]:
    with part.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _flat(row: Row) -> Row:
    """Write what a cell cannot hold as JSON, and the fields of a prediction as `prediction.label` and so on."""
    flat: Row = {}
    for name, value in row.items():
        fields = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        for key, each in fields.items():
            flat[key] = json.dumps(each, ensure_ascii=False) if isinstance(each, list | dict) else each
    return flat


def _write_csv(part: Path, made: Path) -> None:
    names = dict.fromkeys(name for row in _records(part) for name in _flat(row))
    with made.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(_flat(row) for row in _records(part))


def _write_parquet(part: Path, made: Path) -> None:
    try:
        tables = (_table(rows) for rows in chunks(_records(part), CHUNK))
        schema = pa.unify_schemas([table.schema for table in tables] or [pa.schema([])], promote_options="permissive")
        with pq.ParquetWriter(made, schema) as writer:
            for rows in chunks(_records(part), CHUNK):
                writer.write_table(_table(rows, schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        made.unlink(missing_ok=True)
        raise InputError(f"The results do not fit into parquet: {error}. They are in {part}.") from error


def _table(rows: list[Row], schema: pa.Schema | None = None) -> pa.Table:
    if schema is not None:
        return pa.Table.from_pylist(rows, schema=schema)
    names = dict.fromkeys(name for row in rows for name in row)  # from_pylist looks at the first row alone
    return pa.table({name: [row.get(name) for row in rows] for name in names})
