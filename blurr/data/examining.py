"""Examine the files of a column of media before training: measure them, and refuse or leave out the broken ones."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import xxhash

from blurr.data.cells import MISTAKE, Cell, Cells, found, holds_objects, is_readable, packed, packed_objects
from blurr.data.formats.content import MEDIA, SourceFile, chunks
from blurr.data.formats.tables import with_array
from blurr.data.media import Broken, Media, feature_of
from blurr.data.sources import FILE_COLUMN
from blurr.data.verdicts import Verdict, Verdicts, opened
from blurr.errors import InputError, shortened
from blurr.process.setup import usable_cores
from blurr.process.terminal import advance, phase

log = logging.getLogger(__name__)

AT_ONCE = 256  # files whose verdicts are kept together
SILENT = 2.0  # seconds before the terminal says what takes so long
FEW = 5  # broken files that are named
Places = Mapping[str, Path]
"""The folder of each file that rows were read from, by its path in the column `file`."""


def places_of(sources: Sequence[SourceFile]) -> Places:
    """Return the folders in which tables lie."""
    return {source.place: source.path.parent.absolute() for source in sources if source.format != MEDIA}


@dataclass(frozen=True)
class Examined:
    """Rows whose media can be opened.

    Attributes:
        rows: With the column of media as a struct.
        broken: Name and mistake of each file that was left out.
    """

    rows: datasets.Dataset
    broken: list[str] = field(default_factory=list)


def examined(
    rows: datasets.Dataset,
    role: str,
    media: Media,
    *,
    where: str,
    places: Places,
    broken: Broken,
    folders: Sequence[Path] = (),
) -> Examined:
    """Turn a column of media into structs, and examine each of its files.

    Args:
        rows: Under the task's roles.
        role: The column.
        media: What it holds.
        where: Where the rows are from, for messages.
        places: Where relative paths start; the current folder is tried after these.
        folders: Where they may start, too, if they lead nowhere there.
        broken: What to do with rows whose file cannot be opened.

    Raises:
        InputError: The column holds something else, or files cannot be opened.
    """
    column = _column(rows, role)
    if holds_objects(column.type):
        column = packed_objects(column, media)
    if not is_readable(column.type):
        raise InputError(
            f"{where} has no {media.kind}s for {role!r} but values of type {column.type}. Give paths, bytes, or name "
            f"another column: data.columns.{role}=<column>."
        )
    cells = Cells(column, [[*beside, *folders] for beside in _folders(rows, places)])
    verdicts = list(_verdicts(cells, media))
    wrong = [f"{_name(cells, row)} {each.mistake}" for row, each in enumerate(verdicts) if each.mistake]
    made = with_array(rows, role, _structs(cells, verdicts, media), feature_of(media))
    if not wrong:
        return Examined(made)
    said = f"{where}: {len(wrong)} of {rows.num_rows} {media.kind}s cannot be used: {_few(wrong)}."
    if broken == "refuse" or len(wrong) == rows.num_rows:
        remedy = "Mend these files" if broken == "drop" else "Mend these files, or leave them out by data.broken=drop"
        raise InputError(f"{said} {remedy}.")
    log.warning("%s Their rows are left out (data.broken=drop).", said)
    return Examined(made.select([row for row, each in enumerate(verdicts) if not each.mistake]), wrong)


def _column(rows: datasets.Dataset, role: str) -> pa.ChunkedArray:
    feature = rows.info.features[role]
    if isinstance(feature, datasets.Image | datasets.Audio):
        rows = rows.cast_column(role, type(feature)(decode=False))
    return rows.select_columns([role]).with_format("arrow")[:].column(role)


def _folders(rows: datasets.Dataset, places: Places) -> list[list[Path]]:
    """Return, for each row, where a relative path is looked for: beside its file, and in the current folder."""
    if len(set(places.values())) < 2 or FILE_COLUMN not in rows.column_names:
        return [folders_of(None, places)] * rows.num_rows
    files = rows.with_format(None)[FILE_COLUMN][:]
    known = {file: folders_of(file, places) for file in set(files)}
    return [known[file] for file in files]


def folders_of(file: str | None, places: Places) -> list[Path]:
    """Return where relative paths in rows of a file are looked for: beside it, and in the current folder."""
    beside = [places[file]] if file is not None and file in places else dict.fromkeys(places.values())
    return [*beside, Path.cwd()]


def _verdicts(cells: Cells, media: Media) -> Iterator[Verdict]:
    """Yield the verdict on each cell; one thread for each core reads and decodes, which needs no lock of Python."""
    started, is_said = time.monotonic(), False
    with opened(media, media.version) as known, ThreadPoolExecutor(usable_cores()) as pool:
        for rows in chunks(range(len(cells)), AT_ONCE):
            judged = list(pool.map(partial(_verdict, cells, media, known), rows))
            known.keep(verdict for verdict, is_new in judged if is_new)
            if not is_said and time.monotonic() - started > SILENT:
                phase(f"Examining {len(cells):,} {media.kind}s")
                is_said = True
            advance(rows[-1] + 1, len(cells))
            yield from (verdict for verdict, _ in judged)


def _verdict(cells: Cells, media: Media, known: Verdicts, row: int) -> tuple[Verdict, bool]:
    """Return the verdict on a cell, and whether it is worth keeping."""
    cell, digest = cells[row], ""
    try:
        content = cell.read()
        digest = hash_of(cell, content)
        verdict = known.find(digest)
        if verdict is None:
            return Verdict(digest, media.examine(content)), True
    except InputError as error:
        return Verdict(digest, mistake=str(error)), bool(digest)
    return verdict, False


def read_item(value: Any, media: Media) -> dict[str, Any]:
    """Return an item to predict on as the struct that columns of media hold.

    Args:
        value: A path, bytes, an object in memory, or a dict with `path` or `bytes`; one that was read stays as it is.
        media: What it is.

    Raises:
        InputError: It cannot be opened.
    """
    if isinstance(value, Mapping) and value.get("hash") and {"path", "bytes", *media.measures} <= value.keys():
        return dict(value)
    given = packed(value, media)
    name = f"The {media.kind} {shortened(given['path'])}" if given["path"] else f"The {media.kind}"
    try:
        path = given["path"]
        if path and given["bytes"] is None:
            path = found(path, [Path.cwd()])
        cell = Cell(path, given["bytes"], given["hash"], given[MISTAKE] or "")
        content = cell.read()
        return {"path": path, "bytes": cell.content, "hash": hash_of(cell, content), **media.examine(content)}
    except InputError as error:
        raise InputError(f"{name} {error}.") from error


def hash_of(cell: Cell, content: bytes) -> str:
    """Return the hash of what a cell holds, 32 hexadecimal digits."""
    return cell.hash or xxhash.xxh3_128_hexdigest(content)


def _structs(cells: Cells, verdicts: Sequence[Verdict], media: Media) -> pa.ChunkedArray:
    """Return path, bytes, hash and measures of each row; bytes stay where Arrow has them."""
    kinds = datasets.Features(feature_of(media)).arrow_schema
    contents = cells.contents
    sizes = [len(verdicts)] if contents is None else [len(chunk) for chunk in contents.chunks]
    made, start = [], 0
    for size, chunk in zip(sizes, [None] if contents is None else contents.chunks, strict=True):
        rows = range(start, start + size)
        columns = [
            pa.array([cells.path_of(row) for row in rows], pa.string()),
            pa.nulls(size, pa.binary()) if chunk is None else chunk.cast(pa.binary()),
            pa.array([verdicts[row].hash for row in rows], pa.string()),
            *(
                pa.array([verdicts[row].measures.get(name) for row in rows], kinds.field(name).type)
                for name in media.measures
            ),
        ]
        made.append(pa.StructArray.from_arrays(columns, fields=list(kinds)))
        start += size
    return pa.chunked_array(made, pa.struct(list(kinds)))


def _name(cells: Cells, row: int) -> str:
    path = cells.paths[row]
    return shortened(path) if path else f"row {row + 1} (counted from 1)"


def _few(wrong: Sequence[str]) -> str:
    return "; ".join(wrong[:FEW]) + ("; …" if len(wrong) > FEW else "")
