"""What a modality knows of files such as pictures, and the columns of rows that hold them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import datasets
import numpy as np
from datasets.arrow_dataset import Column
from numpy.typing import NDArray

Broken = Literal["refuse", "drop"]
"""What to do with rows whose file cannot be opened."""

Signs = Sequence[tuple[bytes, str]]
"""How files begin, and what is said of them after their name."""

DOWNLOADED = (  # what lies in place of a file that was not downloaded
    (b"version https://git-lfs", "is a pointer of Git LFS, not the {kind}: git lfs pull"),
    (b"<!DOCTYPE", "is a web page, not a {kind}: download it again"),
    (b"<html", "is a web page, not a {kind}: download it again"),
    (b"%PDF", "is a PDF, not a {kind}"),
)
OWN = ("path", "bytes", "hash")  # the fields of every kind of media, before its measures


class Look(NamedTuple):
    """What a file looks or sounds like.

    Attributes:
        bits: A hash of 64 bits, `(64,)`, that files nearly the same have in common but for a few bits.
        sketch: The file in few values, `(values,)`; as many for every file.
        measures: Names and numbers, as users read them, that rows are compared by.
    """

    bits: NDArray[np.bool_]
    sketch: NDArray[np.float32]
    measures: Mapping[str, float]


class Player(NamedTuple):
    """What a page plays of a file.

    Attributes:
        url: A `data:` URL of at most some 50 kB.
        note: Says so where it is the beginning alone.
    """

    url: str
    note: str


class Media(Protocol):
    """What a modality knows of the files that a role holds."""

    @property
    def kind(self) -> str:
        """A word for one of them, such as `picture`, for messages."""

    @property
    def suffixes(self) -> frozenset[str]:
        """How their names end, in lower case, with the dot."""

    @property
    def measures(self) -> Mapping[str, str]:
        """What is measured of each, as names of fields and of their types."""

    @property
    def version(self) -> str:
        """The libraries that decode them; another version may judge otherwise of what is broken."""

    def examine(self, content: bytes) -> Mapping[str, float]:
        """Decode one, and return its measures.

        Raises:
            InputError: It cannot be decoded; the message goes on after its name, as `is broken` does.
        """

    def summary(self, measures: Mapping[str, Sequence[float]]) -> str:
        """Describe the measures of many in a line, such as their sizes."""

    def pack(self, value: Any) -> tuple[bytes, str] | None:
        """Return an object in memory as the content of a file, and a hash; None for what is not of this kind.

        Raises:
            InputError: It is broken; the message goes on after its name.
        """

    def look(self, source: Mapping[str, Any]) -> Look:
        """Return what one looks like, by its cell of the rows.

        Raises:
            InputError: It cannot be opened any more.
        """

    def preview(self, source: Mapping[str, Any]) -> str:
        """Return a small version of one for a page, as a `data:` URL of a few kB, by its cell of the rows.

        Raises:
            InputError: It cannot be opened any more.
        """

    def player(self, source: Mapping[str, Any]) -> Player | None:
        """Return what a page plays of one, by its cell of the rows; None for what is not played.

        Raises:
            InputError: It cannot be opened any more.
        """


def sign_of(start: bytes, kind: str, signs: Signs) -> str | None:
    """Say what a file is that is not of a kind; None where its first bytes do not tell.

    Args:
        start: The first bytes.
        kind: What it should be.
        signs: Those of the modality, which go first.
    """
    begun = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    found = next((said for sign, said in (*signs, *DOWNLOADED) if begun.startswith(sign.lower())), None)
    return found and found.format(kind=kind)


def feature_of(media: Media) -> dict[str, datasets.Value]:
    """Return the type of a column of media."""
    own = {"path": "string", "bytes": "binary", "hash": "string"}
    return {name: datasets.Value(kind) for name, kind in {**own, **media.measures}.items()}


def undecoded(rows: datasets.Dataset) -> datasets.Dataset:
    """Return rows whose sounds `datasets` does not decode: it does so by torchcodec, which needs ffmpeg."""
    names = [name for name, feature in rows.info.features.items() if isinstance(feature, datasets.Audio)]
    for name in names:
        rows = rows.cast_column(name, datasets.Audio(decode=False))
    return rows


def media_columns(rows: datasets.Dataset) -> list[str]:
    """Name the columns that hold media as blurr has them."""
    features = rows.info.features or {}
    return [name for name, feature in features.items() if isinstance(feature, dict) and {*OWN} <= set(feature)]


def hashes(rows: datasets.Dataset, column: str) -> list[str]:
    """Return the hashes of a column of media, whose bytes are not read."""
    return _field(rows, column, "hash")


def values_of(files: Sequence[Mapping[str, Any]], field: str) -> list[Any]:
    """Return a field of many cells; of a column of a data set without reading their bytes."""
    if isinstance(files, Column) and isinstance(files.source, datasets.Dataset):
        return _field(files.source, files.column_name, field)
    return [file[field] for file in files]


def _field(rows: datasets.Dataset, column: str, field: str) -> list[Any]:
    part = rows.with_format(None).select_columns([column]).flatten()
    return list(part.select_columns([f"{column}.{field}"])[f"{column}.{field}"][:])


def measured(rows: datasets.Dataset, column: str, media: Media) -> dict[str, list[float]]:
    """Return the measures of a column of media, each as a list."""
    return {name: _field(rows, column, name) for name in media.measures}


def shown(cell: Mapping[str, Any]) -> str:
    """Return what stands for a file where rows are written down: its path or name, else the beginning of its hash."""
    return str(cell["path"] or f"without a name, {cell['hash'][:12]}")


def shown_rows(rows: datasets.Dataset) -> list[dict[str, Any]]:
    """Return rows as they are written down, without the bytes of media."""
    media = media_columns(rows)
    if not media:
        return list(rows.to_list())
    names = {name: [*map(shown, _named(rows, name))] for name in media}
    others = rows.remove_columns(media)  # without any column, datasets knows no rows
    plain = others.to_list() if others.column_names else [{}] * rows.num_rows
    return [
        {name: names[name][row] if name in names else values[name] for name in rows.column_names}
        for row, values in enumerate(plain)
    ]


def _named(rows: datasets.Dataset, column: str) -> list[dict[str, Any]]:
    """Return path and hash of a column's files."""
    part = rows.with_format(None).select_columns([column]).flatten()
    part = part.select_columns([f"{column}.path", f"{column}.hash"])
    return [{"path": row[f"{column}.path"], "hash": row[f"{column}.hash"]} for row in part.to_list()]
