"""Stream rows from and to files of any size: csv, tsv, jsonl and parquet; files of other formats are read at once."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from blurr.data.formats.content import GZIP, json_of, suffix_of
from blurr.data.formats.delimited import LONGEST_CELL, SAMPLE, delimiter_of, has_quoted_cells, named, without_mark
from blurr.data.readers import FORMATS, FileOptions, read_files
from blurr.errors import InputError, nearest, writing

Row = dict[str, Any]
T = TypeVar("T")
AS_USUAL = FileOptions()
CHUNK = 1000  # rows that are held at a time where a file is converted


class Source:
    """The rows of a file, one after the other; what cannot be read as a row is its InputError.

    Args:
        path: a file of a format that `data=files` reads, with a name that says which.
        options: encoding and delimiter of text, as in training.
        text: columns that are text whatever they look like.

    Attributes:
        done: share of the file that has been read, 0 to 1.

    Raises:
        InputError: there is no such file, or it is of no such format.
    """

    def __init__(self, path: Path, options: FileOptions = AS_USUAL, *, text: frozenset[str] = frozenset()) -> None:
        if not path.is_file():
            there = [other.name for other in path.parent.glob("*")]
            near = nearest(path.name, there)
            raise InputError(f"There is no file {path}.{near} Relative paths start at {Path.cwd()}.")
        if suffix_of(path) not in FORMATS:
            raise InputError(
                f"{path} is of no known format.{nearest(path.suffix, FORMATS)} Give a file whose name ends in one of "
                f"{sorted(FORMATS)}, or in these and .gz."
            )
        self.path, self.options, self.text, self.done, self.last_line = path, options, text, 0.0, ""
        self._read = READERS.get(suffix_of(path), _other_rows)

    def __iter__(self) -> Iterator[Row | InputError]:
        """Read the file from its beginning."""
        return self._read(self)


def chunks(values: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `n`, the last of them shorter."""
    stream = iter(values)
    while chunk := list(islice(stream, n)):
        yield chunk


def check_target(path: Path) -> None:
    """Refuse a file to write whose name says no format that there is a writer for.

    Raises:
        InputError: names what there is.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(
            f"{path} is of no known format.{nearest(path.suffix, WRITERS)} Give a file whose name ends in one of "
            f"{list(WRITERS)}."
        )


def _separated_rows(source: Source) -> Iterator[Row | InputError]:
    (head, mark), options = without_mark(_head(source)), source.options
    default = "\t" if suffix_of(source.path) == ".tsv" else ","
    delimiter = delimiter_of(head, options.delimiter or mark, default, str(source.path))
    quoted = has_quoted_cells(head, delimiter, options.quotes)
    csv.field_size_limit(LONGEST_CELL)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = islice(_lines(source, newline=""), 0 if mark is None else 1, None)
    rows = filter(None, csv.reader(lines, delimiter=delimiter, quoting=quoting))
    try:
        columns = named(next(rows, []))
        _check_columns(columns, source)
        cells: list[str] = []
        for number, cells in enumerate(rows, start=1):
            if len(cells) == len(columns):
                yield dict(zip(columns, cells, strict=True))
            else:
                yield InputError(f"Row {number} has {len(cells)} values where the file has {len(columns)} columns.")
    except csv.Error as error:
        raise InputError(f"{source.path} is not a table separated by {delimiter!r}: {error}.") from error
    if quoted and cells and cells[-1].endswith("\n") and not source.last_line.rstrip().endswith('"'):
        raise InputError(
            f"{source.path} ends inside the quotes that begin with {cells[-1][:60]!r}: rows have been lost in them. "
            "Close the quotes."
        )


def _check_columns(columns: list[str], source: Source) -> None:
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise InputError(f"{source.path} has several columns named {twice[0]!r}. Give each column a name of its own.")


def _jsonl_rows(source: Source) -> Iterator[Row | InputError]:
    if _head(source).lstrip().startswith("["):  # an array of rows under another name
        yield from _other_rows(source)
        return
    for number, line in enumerate(_lines(source), start=1):
        if not line.strip():
            continue
        try:
            row = json_of(line)
        except json.JSONDecodeError as error:
            yield InputError(f"Line {number} is not JSON: {error.msg}.")
            continue
        yield row if isinstance(row, dict) else InputError(f"Line {number} is no object with named values.")


def _head(source: Source) -> str:
    """Return the first lines of a file, enough to see how it is written."""
    head = ""
    with closing(_lines(source)) as lines:
        for line in lines:
            head += line
            if len(head) > SAMPLE:
                break
    return head


def _lines(source: Source, newline: str = "\n") -> Generator[str, None, None]:
    """Yield the lines of a text file, which end at `newline` ('' is for csv), and note how far it is read."""
    encoding, size, number = source.options.encoding, max(source.path.stat().st_size, 1), 0
    try:
        with source.path.open("rb") as file, _plain(source, file, newline) as plain:
            for number, line in enumerate(plain, start=1):
                source.done, source.last_line = file.tell() / size, line
                yield line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeDecodeError as error:
        line_number = number + 1 + error.object.count(b"\n", 0, error.start)
        raise InputError(
            f"{source.path} is not encoded in {encoding}, see line {line_number}: {error.reason}. Say what it is "
            "by --encoding, for example --encoding cp1252."
        ) from error
    except LookupError as error:
        raise InputError(f"--encoding {encoding} is not an encoding that Python knows.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{source.path} cannot be unpacked: {error}.") from error


def _plain(source: Source, file: BinaryIO, newline: str) -> io.TextIOWrapper:
    is_packed = source.path.suffix.lower() == GZIP
    unpacked: Any = gzip.GzipFile(fileobj=file) if is_packed else file
    return io.TextIOWrapper(unpacked, source.options.encoding, newline=newline)


def _other_rows(source: Source) -> Iterator[Row]:
    """Read a file of a format that cannot be read row by row."""
    rows = read_files(source.path, source.options, text=source.text)
    for number, row in enumerate(rows, start=1):
        source.done = number / rows.num_rows
        yield row


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
    ".csv": _separated_rows,
    ".tsv": _separated_rows,
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
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
    """Write what a cell cannot hold as JSON, and the fields of a prediction as `prediction.label` and so on."""
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
        tables = (_table(rows) for rows in chunks(_records(part), CHUNK))
        schema = pa.unify_schemas([table.schema for table in tables] or [pa.schema([])], promote_options="permissive")
        with pq.ParquetWriter(made, schema) as writer:
            for rows in chunks(_records(part), CHUNK):
                writer.write_table(_table(rows, schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"The results do not fit into parquet: {error}. They are in {part}.") from error


def _table(rows: list[Row], schema: pa.Schema | None = None) -> pa.Table:
    if schema is not None:
        return pa.Table.from_pylist(rows, schema=schema)
    names = dict.fromkeys(name for row in rows for name in row)  # from_pylist looks at the first row alone
    return pa.table({name: [row.get(name) for row in rows] for name in names})


WRITERS: dict[str, Callable[[Path, Path], None] | None] = {
    ".csv": _write_csv,
    ".tsv": partial(_write_csv, delimiter="\t"),
    ".jsonl": None,  # rows are kept as such until all are there
    ".parquet": _write_parquet,
}
