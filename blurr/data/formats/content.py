"""Open the files to read: their bytes, their text, and their lines one after the other."""

import io
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from blurr.config.places import check_regular
from blurr.data.formats.packed import is_packed, unpacked
from blurr.errors import InputError

Row = dict[str, Any]
T = TypeVar("T")
Format = Literal["auto", "csv", "tsv", "json", "jsonl", "squad", "parquet", "xlsx", "conll", "text", "lines"]

MEDIA = "media"  # the format of a file that is a row itself, such as a picture
ROWS = 1000  # that are in memory at a time, as dicts
MARK = "\ufeff"  # the byte-order mark, in whatever encoding
NOTED = 100  # lines between two updates of the progress: updating it at each line would take as long as reading
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class FileOptions:
    """How to read files.

    Attributes:
        format: Format of the files; `auto` goes by their extension, of compressed files by the one before `.gz`.
        encoding: Encoding of text, any that Python knows; the default reads UTF-8 with or without a byte-order mark.
        delimiter: What separates the columns of csv, tsv and conll. None reads it from the header of csv and tsv
            (a comma, tab, semicolon or pipe); for conll it means a tab or spaces.
        quotes: `fields` if quotes enclose fields, `text` if a quote is a character like any other;
            `auto` finds out for tsv and means `fields` for csv.
        sheet: Number, from 0, or name of the sheet of an xlsx file.
    """

    format: Format = "auto"
    encoding: str = "utf-8-sig"
    delimiter: str | None = None
    quotes: Literal["auto", "fields", "text"] = "auto"
    sheet: str | int = 0


@dataclass
class SourceFile:
    """A file to read.

    Attributes:
        path: Where it is.
        place: Its path below the folder or the pattern that was given.
        format: Its format, which is not `auto`.
        options: How to read it.
        text: Columns of an xlsx file that are text even where they look like numbers.
        role: The role that holds the file itself, if it is media.
        others: Other roles that hold media, whose files stand beside.
        done: Share of the file that has been read, 0 to 1.
        together: Bytes of all files that are read with it; 0 where it is read alone.
    """

    path: Path
    place: str
    format: str
    options: FileOptions
    text: frozenset[str] = frozenset()
    role: str = ""
    others: tuple[str, ...] = ()
    done: float = 0.0
    together: int = 0

    def __str__(self) -> str:
        return str(self.path)

    @property
    def is_packed(self) -> bool:
        """Whether the file is compressed."""
        return is_packed(self.path)

    def lines(self, newline: Literal["", "\n"] = "\n") -> Generator[str]:
        r"""Yield the lines with their ends, and hold no more than one.

        Args:
            newline: What ends a line: `\n` alone, or `\n`, `\r\n` and `\r` for an empty string. Nothing else does:
                `str.splitlines` would also split at U+2028, U+0085 and form feeds, which texts contain.

        Raises:
            InputError: The file cannot be read, is empty, or has another encoding.
        """
        number, is_blank = 0, True
        with self.opened() as file, self.decoded(file, newline) as text:
            size = max(os.fstat(file.fileno()).st_size, 1)
            try:
                for number, line in enumerate(text, start=1):
                    line = line.removeprefix(MARK) if number == 1 else line
                    is_blank = is_blank and not line.strip()
                    if number % NOTED == 1:
                        self.done = file.tell() / size
                    yield line
            except UnicodeError as error:
                raise InputError(self._undecodable(error, number + 1)) from error
        if is_blank:
            raise InputError(f"{self} is empty. Give a file with rows in it.")

    def read_text(self) -> str:
        """Return the whole text; it fails as `lines` does."""
        with self.opened() as file, self.decoded(file, newline="") as opened:
            try:
                text = opened.read().removeprefix(MARK)
            except UnicodeError as error:
                raise InputError(self._undecodable(error, 1)) from error
        if not text.strip():
            raise InputError(f"{self} is empty. Give a file with rows in it.")
        return text

    def read_bytes(self) -> bytes:
        """Return the whole content, uncompressed.

        Raises:
            InputError: The file cannot be read, or is empty.
        """
        with self.opened() as file:
            content = (unpacked(file, self.path) if self.is_packed else file).read()
        if not content.strip():
            raise InputError(f"{self} is empty. Give a file with rows in it.")
        return content

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file, and turn every failure of the disk while it is open into an InputError."""
        try:
            check_regular(self.path)
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise InputError(f"{self} cannot be read: {error.strerror or error}.") from error

    def decoded(self, file: BinaryIO, newline: str) -> io.TextIOWrapper:
        """Return the text of an opened file, as a stream."""
        content: Any = unpacked(file, self.path) if self.is_packed else file
        try:
            return io.TextIOWrapper(content, self.options.encoding, newline=newline)
        except LookupError as error:
            raise InputError(
                f"data.encoding={self.options.encoding} (--encoding) is not an encoding that Python knows, as utf-8 "
                "and cp1252 are."
            ) from error

    def _undecodable(self, error: UnicodeError, first_line: int) -> str:
        """Say which byte does not fit; `first_line` is the line that the decoded block begins with."""
        if not isinstance(error, UnicodeDecodeError):  # UTF-16 and UTF-32 without a mark, which says the order of bytes
            return f"{self}: {error}. Set data.encoding (--encoding) to {self.options.encoding}-le or -be."
        line = first_line + error.object.count(b"\n", 0, error.start)
        guess = "utf-16" if error.object.startswith(UTF_16) else "cp1252"
        return (
            f"{self} is not encoded in {self.options.encoding}: byte 0x{error.object[error.start]:02x} in line {line}. "
            f"Set data.encoding (--encoding) to its encoding, for example data.encoding={guess}."
        )


def chunks(values: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `n`, the last of them shorter."""
    stream = iter(values)
    while chunk := list(islice(stream, n)):
        yield chunk
