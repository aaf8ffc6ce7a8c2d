"""Open the files to read: their bytes, their text, and their lines one after the other."""

import gzip
import io
import os
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from blurr.config.places import check_regular
from blurr.errors import InputError

Row = dict[str, Any]
T = TypeVar("T")
Format = Literal["auto", "csv", "tsv", "json", "jsonl", "squad", "parquet", "xlsx", "conll", "text", "lines"]

MEDIA = "media"  # the format of a file that is a row itself, such as a picture
GZIP = ".gz"
ROWS = 1000  # that are in memory at a time, as dicts
MARK = "\ufeff"  # the byte-order mark, in whatever encoding
NOTED = 100  # lines between two updates of the progress: updating it at each line would take as long as reading
MOST_TIMES = 250  # that a packed file may grow; tables of texts shrink to a third, those of one row to a hundredth
ALWAYS_UNPACKED = 4 << 20  # bytes
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class FileOptions:
    """How to read files.

    Attributes:
        format: Format of the files; `auto` goes by their extension, the one before `.gz` for compressed files.
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
    """

    path: Path
    place: str
    format: str
    options: FileOptions
    text: frozenset[str] = frozenset()
    role: str = ""
    others: tuple[str, ...] = ()
    done: float = 0.0

    def __str__(self) -> str:
        return str(self.path)

    @property
    def is_packed(self) -> bool:
        """Whether the file is compressed by gzip."""
        return self.path.suffix.lower() == GZIP

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
            content = (self._unpacked(file) if self.is_packed else file).read()
        if not content.strip():
            raise InputError(f"{self} is empty. Give a file with rows in it.")
        return content

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file, and turn every failure of the disk or of gzip while it is open into an InputError."""
        try:
            check_regular(self.path)
            with self.path.open("rb") as file:
                yield file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:  # before OSError, which a BadGzipFile is
            raise InputError(
                f"{self} cannot be unpacked: {error}. Compress it again, or give the uncompressed file."
            ) from error
        except OSError as error:
            raise InputError(f"{self} cannot be read: {error.strerror or error}.") from error

    def decoded(self, file: BinaryIO, newline: str) -> io.TextIOWrapper:
        """Return the text of an opened file, as a stream."""
        unpacked: Any = self._unpacked(file) if self.is_packed else file
        try:
            return io.TextIOWrapper(unpacked, self.options.encoding, newline=newline)
        except LookupError as error:
            raise InputError(
                f"data.encoding={self.options.encoding} (--encoding) is not an encoding that Python knows, as utf-8 "
                "and cp1252 are."
            ) from error

    def _unpacked(self, file: BinaryIO) -> BinaryIO:
        return io.BufferedReader(_Unpacked(file, str(self)), 1 << 18)

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


class _Unpacked(io.RawIOBase):
    """What gzip unpacks, as long as it is not far more than was packed: 4 MB can unpack to 4 GB of zeros."""

    def __init__(self, packed: BinaryIO, where: str) -> None:
        self.packed, self.where, self.size = packed, where, 0
        self.unpacked = gzip.GzipFile(fileobj=packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.unpacked.readinto(buffer)
        self.size += count
        check_growth(self.size, self.packed.tell(), MOST_TIMES, self.where)
        return count


def check_growth(size: int, packed: int, most: int, where: str) -> None:
    """Refuse a file that unpacks to far more than its size.

    Args:
        size: Bytes that were unpacked, or will be.
        packed: Bytes that they were packed into.
        most: How many times as many are allowed.
        where: The name of the file, for messages.

    Raises:
        InputError: There are more.
    """
    if size > max(ALWAYS_UNPACKED, packed * most):
        raise InputError(
            f"{where} unpacks to more than {most} times its size, as files do that are made to fill a memory. If you "
            "trust it, unpack it yourself, and give the file that comes out as csv or jsonl."
        )


def suffix_of(path: Path) -> str:
    """Return the suffix that names the format of a file, without the `.gz` of a compressed one."""
    return (Path(path.stem) if path.suffix.lower() == GZIP else path).suffix.lower()


def chunks(values: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `n`, the last of them shorter."""
    stream = iter(values)
    while chunk := list(islice(stream, n)):
        yield chunk
