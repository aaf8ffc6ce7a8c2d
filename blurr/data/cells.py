"""Read the cells of a column of media, whatever its source has: paths, bytes, both, or objects in memory."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from blurr.config.places import check_path, check_regular
from blurr.data.formats.content import ROWS
from blurr.data.media import Media
from blurr.errors import InputError

MISTAKE = "mistake"  # the field of a cell that could not be packed
EMPTY = {"path": None, "bytes": None, "hash": None, MISTAKE: None}
PLAIN = (str, bytes, type(None), bool, int, float, np.number)
Folders = Sequence[Path]
"""Where relative paths are looked for."""


@dataclass(frozen=True)
class Cell:
    """What a cell holds.

    Attributes:
        path: The file, or the name that it had.
        content: Its bytes; None for a file of its own.
        hash: That of the content, where it is known already.
        mistake: What is wrong with it, where that is known already.
    """

    path: str | None = None
    content: bytes | None = None
    hash: str | None = None
    mistake: str = ""

    def read(self) -> bytes:
        """Return the content.

        Raises:
            InputError: There is none; the message goes on after the name of the file.
        """
        if self.mistake:
            raise InputError(self.mistake)
        content = self.content
        if content is None and not self.path:
            raise InputError("is missing: the cell is empty")
        if content is None:
            try:
                check_regular(Path(str(self.path)))
                content = Path(str(self.path)).read_bytes()
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror or error}") from error
        if not content:
            raise InputError("is empty")
        return content


class Cells:
    """The cells of a column; bytes are taken out of Arrow's memory one at a time.

    Args:
        column: Texts (paths), bytes, or structs with `path`, `bytes` or both.
        folders: For each row, where relative paths are looked for.
    """

    def __init__(self, column: pa.ChunkedArray, folders: Sequence[Folders]) -> None:
        self.folders = folders
        parts = _parts(column)
        self.contents = parts.get("bytes")
        if MISTAKE not in parts:
            parts.pop("hash", None)  # what others call a hash is not one of the content by xxHash
        nothing = pa.chunked_array([pa.nulls(len(column), pa.string())])
        texts = ([text or None for text in parts.get(name, nothing).to_pylist()] for name in ("path", "hash", MISTAKE))
        self.paths, self.hashes, self.mistakes = texts

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.folders)

    def __getitem__(self, row: int) -> Cell:
        """Return what a row holds."""
        path, mistake = self.paths[row], self.mistakes[row]
        if mistake:
            return Cell(path, mistake=mistake)
        content = None if self.contents is None else self.contents[row].as_py()
        if content is not None or not path:
            return Cell(path, content, self.hashes[row])
        try:
            return Cell(found(path, self.folders[row]))
        except InputError as error:
            return Cell(path, mistake=str(error))

    def path_of(self, row: int) -> str | None:
        """Return the path of a file, absolute for one of its own, or else the name that it had."""
        path: str | None = self.paths[row]
        has_content = self.contents is not None and self.contents[row].is_valid
        if has_content or not path:
            return path
        try:
            return found(path, self.folders[row])
        except InputError:
            return path


def _parts(column: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """Return the fields of a column by their names."""
    kind = column.type
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return dict(zip(names, pa.table({"cell": column}).flatten().columns, strict=True))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return {"bytes": column}
    return {"path": column}


def found(text: str, folders: Folders) -> str:
    """Return the absolute path of a file.

    Args:
        text: A path, as a table has it.
        folders: Where a relative one is looked for.

    Raises:
        InputError: It is not there; the message goes on after the name of the file.
    """
    try:
        check_path(text)
    except InputError as error:
        raise InputError(f"is not the path of a file: {error}") from error
    places = [os.path.join(folder, os.path.expanduser(text)) for folder in folders]
    there = next((place for place in places if os.path.exists(place)), None)
    if there is None:
        looked = " nor in ".join(dict.fromkeys(map(str, folders)))
        raise InputError("is missing" + ("" if os.path.isabs(text) else f": it is not in {looked}"))
    return os.path.abspath(there)


def located(value: Any, folders: Folders) -> Any:
    """Return a path as one that starts at the root; whatever else it is stays, and so does a path to nothing."""
    if not isinstance(value, str):
        return value
    with suppress(InputError):
        return found(value, folders)
    return value


def without_bytes(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as it is written down: a file within it as the name that it had, or as its size."""
    return {name: _named(value) for name, value in row.items()}


def _named(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    is_file = isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes)
    return (value.get("path") or _named(value["bytes"])) if is_file else value


def column_of_media(row: Mapping[str, Any], media: Media) -> str | None:
    """Return the only column of a row that holds media, or names such a file; None where there is none, or several."""
    names = [
        name
        for name, value in row.items()
        if isinstance(value, bytes)
        or (isinstance(value, Mapping) and "bytes" in value)
        or (isinstance(value, str) and Path(value).suffix.lower() in media.suffixes)
    ]
    return names[0] if len(names) == 1 else None


def is_readable(kind: pa.DataType) -> bool:
    """Return whether a column of this type can hold media."""
    if pa.types.is_struct(kind):
        return bool({"bytes", "path"} & {field.name for field in kind})
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in (*tests, pa.types.is_null))


def holds_media(rows: datasets.Dataset, column: str, media: Media) -> bool:
    """Return whether a column holds files of this kind, or the names of some."""
    feature = rows.info.features[column]
    if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
        first = next((value for value in rows.with_format(None)[column] if value), "")
        return Path(first).suffix.lower() in media.suffixes
    is_struct = isinstance(feature, dict) and "bytes" in feature
    is_bytes = isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")
    return is_struct or is_bytes or isinstance(feature, datasets.Image | datasets.Audio)


def holds_objects(kind: pa.DataType) -> bool:
    """Return whether a column holds what objects in memory become in Arrow: lists of numbers, or structs with some."""
    inner = kind.storage_type if isinstance(kind, pa.ExtensionType) else kind
    if pa.types.is_struct(inner):
        return "bytes" not in {field.name for field in inner} and any(holds_objects(field.type) for field in inner)
    depth = 0
    while pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner):
        inner, depth = inner.value_type, depth + 1
    return depth > 0 and (pa.types.is_integer(inner) or pa.types.is_floating(inner))


def packed_objects(column: pa.ChunkedArray, media: Media) -> pa.ChunkedArray:
    """Pack a column of objects, a few at a time."""
    plain = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in column.chunks]
    parts = (chunk.slice(start, ROWS) for chunk in plain for start in range(0, len(chunk), ROWS))
    cells = [pa.array([packed(value, media) for value in part.to_pylist()], _kind()) for part in parts]
    return pa.chunked_array(cells, _kind())


def _kind() -> pa.DataType:
    return pa.struct([("path", pa.string()), ("bytes", pa.binary()), ("hash", pa.string()), (MISTAKE, pa.string())])


def packed(value: Any, media: Media) -> dict[str, Any]:
    """Return what a cell in memory holds as a struct: an object becomes the bytes of a file."""
    if isinstance(value, bytes | bytearray):
        return {**EMPTY, "bytes": bytes(value)}
    if isinstance(value, str | os.PathLike):
        return {**EMPTY, "path": os.fspath(value)}
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return EMPTY
    try:
        made = media.pack(value)
    except InputError as error:
        return {**EMPTY, MISTAKE: str(error)}
    if made is None and isinstance(value, Mapping):
        return {**EMPTY, **{name: value.get(name) for name in ("path", "bytes")}}
    if made is None:
        return {**EMPTY, MISTAKE: f"is a {type(value).__name__}, not a {media.kind}"}
    return {**EMPTY, "bytes": made[0], "hash": made[1]}


def content_of(value: Any, media: Media) -> bytes:
    """Return the content of one that is in memory: bytes, a struct of them, or an object.

    Raises:
        InputError: It is of another kind, or broken; the message goes on after its name.
    """
    cell = packed(value, media) or {}
    return Cell(content=cell.get("bytes"), mistake=cell.get(MISTAKE) or "").read()


def with_packed(data: Any, media: Sequence[Media], named: Mapping[str, Sequence[Media]]) -> Any:
    """Return a DataFrame, or a list of dicts, with its objects that are media packed, so that a table can hold them.

    Args:
        data: Anything else is returned as it is.
        media: What its columns may hold.
        named: What columns may hold that are known by name: a role's one kind, or none.
    """
    if isinstance(data, pd.DataFrame):
        names = data.columns[data.dtypes.map(pd.api.types.is_object_dtype)]
        made = {name: _packed_values(list(data[name]), named.get(name, media)) for name in names}
        series = {name: pd.Series(values, data.index, object) for name, values in made.items() if values is not None}
        return data.assign(**series) if series else data
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        return data
    columns = {name: [row.get(name) for row in data] for name in dict.fromkeys(name for row in data for name in row)}
    packed_ = {name: _packed_values(given, named.get(name, media)) for name, given in columns.items()}
    changed = {name: values for name, values in packed_.items() if values is not None}
    return [{**cells, **{name: values[row] for name, values in changed.items()}} for row, cells in enumerate(data)]


def _packed_values(values: list[Any], media: Sequence[Media]) -> list[Any] | None:
    """Pack the values of a column; None where none of them is an object that is media."""
    first = next((value for value in values if not _is_plain(value, media)), None)
    if first is None or not media:
        return None
    if isinstance(first, os.PathLike):
        return [packed(value, media[0]) for value in values]
    knows = next((each for each in media if _knows(each, first)), None)
    return None if knows is None else [packed(value, knows) for value in values]


def _is_plain(value: Any, media: Sequence[Media]) -> bool:
    """Return whether a table holds a value as it is; of dicts, such are those that are not an object."""
    if isinstance(value, Mapping):
        return not any(_knows(each, value) for each in media)
    return isinstance(value, PLAIN)


def _knows(media: Media, value: Any) -> bool:
    if isinstance(value, list) and not (value and isinstance(value[0], list | np.ndarray)):
        return False  # a list of labels, or of words
    try:
        return media.pack(value) is not None
    except InputError:
        return True
