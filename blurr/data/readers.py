"""Find files, and read them: whole as a table to train on, or row by row to predict on."""

import fnmatch
import glob
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import datasets
import pyarrow as pa

from blurr.config.places import expanded, kind_of, walk
from blurr.data.formats.conll import parse_conll
from blurr.data.formats.content import FileOptions, Row, SourceFile, suffix_of
from blurr.data.formats.delimited import read_csv, read_tsv, stream_csv, stream_tsv
from blurr.data.formats.json_rows import read_json, stream_json_lines
from blurr.data.formats.tables import (
    alike,
    as_rows,
    check_names,
    read_parquet,
    read_xlsx,
    records,
    stream_parquet,
)
from blurr.data.splits import FILE_COLUMN, split_name
from blurr.errors import InputError, nearest

Paths = str | Path | Sequence[str | Path]
"""A file, a folder, a glob pattern, or a list of these."""

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".conll": "conll",
    ".txt": "text",
}
PACKED = (".7z", ".bz2", ".lz4", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")
WILDCARDS = re.compile(r"[*?\[]")


def read_files(paths: Paths, options: FileOptions, *, text: frozenset[str] = frozenset()) -> datasets.Dataset:
    """Read files one after the other as one set of rows.

    Rows from several files have a column `file`: the path of their file below the folder that was given.

    Args:
        paths: A file, a folder, a glob pattern, or a list of these.
        options: How to read them.
        text: Columns that stay text even where they look like numbers.

    Returns:
        The rows in the order of the files; files of a folder in the order of their names.

    Raises:
        InputError: A file is missing, or is not of its format.
    """
    sources = find_files(paths, options, text=text)
    tables = [_table(source) for source in sources]
    for table, source in zip(tables, sources, strict=True):
        check_names(table.column_names, str(source))
    if len(tables) > 1:
        tables = [_with_place(table, source) for table, source in zip(tables, sources, strict=True)]
    try:
        table = pa.concat_tables(alike(tables), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"The files of {paths} do not fit together: {error}. Give columns the same type in all."
        ) from error
    return as_rows(table, str(paths))


def stream_files(sources: Sequence[SourceFile]) -> Iterator[Row | InputError]:
    """Yield the same rows as `read_files` one by one, from files that may be larger than the memory.

    Only a few rows of csv, tsv, jsonl, parquet and lines of text are in memory at a time. Values of jsonl keep their
    types, while `read_files` turns a column of several types into text.

    Args:
        sources: What `find_files` returned; each of them says how far it has been read.

    Yields:
        A row, or what is wrong with it.

    Raises:
        InputError: A file is not of its format.
    """
    for source in sources:
        is_stream = source.format in STREAMS
        for row in STREAMS[source.format](source) if is_stream else _table(source).to_pylist():
            if len(sources) > 1 and isinstance(row, dict):
                row.setdefault(FILE_COLUMN, source.place)
            yield row
        source.done = 1.0


def find_files(paths: Paths, options: FileOptions, *, text: frozenset[str] = frozenset()) -> list[SourceFile]:
    """Return the files of a path, a folder, a pattern, or a list of these.

    Raises:
        InputError: There is none, or they are of several formats.
    """
    found = _found(paths, options)
    sources = [SourceFile(path, place, _format(path, options), options, text) for path, place in found]
    formats = sorted({source.format for source in sources})
    if len(formats) > 1:
        raise InputError(
            f"{paths} holds files of several formats: {formats}. Name those of one format, for example by a pattern "
            "like folder/*.csv."
        )
    return sources


def _found(paths: Paths, options: FileOptions) -> list[tuple[Path, str]]:
    """Return each file, and its path below the folder or the pattern."""
    if not isinstance(paths, str | Path):
        if not paths:
            raise InputError("A list without files has no rows. Name a file, a folder or a pattern.")
        return [found for path in paths for found in _found(path, options)]
    path = expanded(str(paths))
    kind = kind_of(path)
    root, files, hint = path.parent, [path] if kind else [], ""
    if kind == "folder":
        root, files = path, _files_below(path, options)
        nothing = f"The folder {paths} holds no file of a known format ({sorted(FORMATS)})"
    elif WILDCARDS.search(str(path)) and not files:
        root, files = Path(*_before_wildcard(path)), _matching(path)
        nothing = f"No file fits the pattern {paths}"
    else:
        nothing = f"There is no file {paths}"
        hint = "" if files else nearest(path.name, [other.name for other in root.glob("*")])
    if not files:
        raise InputError(f"{nothing}.{hint} Relative paths start at {Path.cwd()}.")
    return [(file, file.relative_to(root).as_posix()) for file in files]


def _format(path: Path, options: FileOptions) -> str:
    if options.format == "auto" and path.suffix.lower() in PACKED:
        raise InputError(f"{path} is packed, and of packed files only .gz is read. Unpack it, and give what is in it.")
    kind = options.format if options.format != "auto" else FORMATS.get(suffix_of(path))
    if kind is None or kind not in READERS:
        raise InputError(
            f"{path} is of no known format: {path.suffix or 'no extension'!r}.{nearest(path.suffix, FORMATS)} Known "
            f"are {sorted(FORMATS)}; for other names set data.format (--format) to one of {sorted(READERS)}."
        )
    return kind


def _files_below(folder: Path, options: FileOptions) -> list[Path]:
    files = sorted(walk(folder))
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return [file for file in seen if options.format != "auto" or suffix_of(file) in FORMATS]


def _matching(pattern: Path) -> list[Path]:
    """Return what fits a pattern. One with `**` goes through a walk that ends, also where links lead back."""
    if "**" not in pattern.parts:
        return sorted(map(Path, glob.glob(str(pattern))))
    root = Path(*_before_wildcard(pattern))
    parts = pattern.relative_to(root).parts
    return sorted(file for file in walk(root, follows_links=True) if _fits(file.relative_to(root).parts, parts))


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path fit those of a pattern; as in a shell, `*` fits no hidden name."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    is_shown = pattern[0].startswith(".") or not path[0].startswith(".")
    if pattern[0] == "**":
        return _fits(path, pattern[1:]) or (is_shown and _fits(path[1:], pattern))
    return is_shown and fnmatch.fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def _before_wildcard(path: Path) -> list[str]:
    parts = list(path.parts)
    first = next(place for place, part in enumerate(parts) if WILDCARDS.search(part))
    return parts[:first]


def _table(source: SourceFile) -> pa.Table:
    if source.format in TABLES:
        return TABLES[source.format](source)
    return records(STREAMS[source.format](source), str(source))


def _with_place(table: pa.Table, source: SourceFile) -> pa.Table:
    if FILE_COLUMN in table.column_names:
        return table
    return table.append_column(FILE_COLUMN, pa.array([source.place] * table.num_rows, pa.string()))


def _read_conll(source: SourceFile) -> pa.Table:
    return records(parse_conll(source.lines(), str(source), source.options.delimiter), str(source))


def _read_text(source: SourceFile) -> pa.Table:
    """Read a whole file as one row; the folder it lies in, unless that is a split, is its label."""
    row = {"text": source.read_text(), FILE_COLUMN: source.place}
    folders = Path(source.place).parts[:-1]
    if folders and split_name(folders[-1]) is None:
        row["label"] = folders[-1]
    return records([row], source.place)


def _stream_lines(source: SourceFile) -> Iterator[Row]:
    """Yield each line that is not blank as one row."""
    return ({"text": line.removesuffix("\n").removesuffix("\r")} for line in source.lines() if line.strip())


STREAMS: dict[str, Callable[[SourceFile], Iterator[Row | InputError]]] = {
    "csv": stream_csv,
    "tsv": stream_tsv,
    "jsonl": stream_json_lines,
    "parquet": stream_parquet,
    "lines": _stream_lines,
}
TABLES: dict[str, Callable[[SourceFile], pa.Table]] = {
    "csv": read_csv,  # as a whole in a tenth of the time
    "tsv": read_tsv,
    "json": read_json,
    "squad": read_json,
    "parquet": read_parquet,  # as a whole it keeps the types of columns, and names of classes
    "xlsx": read_xlsx,
    "conll": _read_conll,
    "text": _read_text,
}
READERS = STREAMS | TABLES
