"""Unpack files that are compressed: gzip, bzip2, xz, Zstandard, lz4, and the one file in a zip."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from blurr.errors import InputError

MOST_TIMES = 250  # that a packed file may grow; tables of texts shrink to a third, those of one row to a hundredth
ALWAYS_UNPACKED = 4 << 20  # bytes
# zipfile raises a RuntimeError for a password, and a NotImplementedError for a method that it does not know
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)


def is_packed(path: Path) -> bool:
    """Return whether a file is compressed in a way that is read here."""
    return path.suffix.lower() in UNPACKERS


def suffix_of(path: Path) -> str:
    """Return the suffix that names the format of a file, without the one that says how it is packed."""
    return (Path(path.stem) if is_packed(path) else path).suffix.lower()


def suffix_in_zip(path: Path) -> str:
    """Return the suffix of the file in a zip.

    Raises:
        InputError: There is none, there are several, or it is not a zip.
    """
    with path.open("rb") as file:
        return Path(_only_name(file, str(path))).suffix.lower()


def unpacked(file: BinaryIO, path: Path) -> BinaryIO:
    """Return the content of a packed file as a stream, in which what is broken raises an InputError."""
    return io.BufferedReader(_Unpacked(file, path), 1 << 18)


class _Unpacked(io.RawIOBase):
    """What is unpacked, as long as it is not far more than was packed: 4 MB can unpack to 4 GB of zeros."""

    def __init__(self, packed: BinaryIO, path: Path) -> None:
        self.packed, self.path, self.size = packed, path, 0
        self.content: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            if self.content is None:
                self.content = UNPACKERS[self.path.suffix.lower()](self.packed, str(self.path))
            part = self.content.read(len(buffer))
        except BROKEN as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk
                raise
            raise InputError(
                f"{self.path} cannot be unpacked: {error}. Compress it again, or give the uncompressed file."
            ) from error
        buffer[: len(part)] = part
        self.size += len(part)
        check_growth(self.size, self.packed.tell(), MOST_TIMES, str(self.path))
        return len(part)


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


def _by_arrow(codec: str) -> Callable[[BinaryIO, str], Any]:
    def opened(file: BinaryIO, where: str) -> Any:
        import pyarrow as pa  # heavy, and has been loaded where rows are read

        return pa.CompressedInputStream(pa.PythonFile(file, "r"), codec)

    return opened


def _of_zip(file: BinaryIO, where: str) -> Any:
    return zipfile.ZipFile(file).open(_only_name(file, where))


def _only_name(file: BinaryIO, where: str) -> str:
    """Return the name of the only file in a zip, besides hidden ones and those that macOS adds.

    Raises:
        InputError: There is none, there are several, or it is not a zip.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            names = [each.filename for each in opened.infolist() if not each.is_dir()]
    except zipfile.BadZipFile as error:
        raise InputError(f"{where} cannot be unpacked: {error}. Compress it again, or give what is in it.") from error
    shown = [name for name in names if not any(p.startswith((".", "__MACOSX")) for p in Path(name).parts)]
    if len(shown) != 1:
        raise InputError(
            f"{where} holds {len(shown)} files, and of a zip one is read. Unpack it, and give the folder that comes "
            "out."
        )
    return shown[0]


UNPACKERS: dict[str, Callable[[BinaryIO, str], Any]] = {
    ".gz": lambda file, _: gzip.GzipFile(fileobj=file),
    ".bz2": lambda file, _: bz2.BZ2File(file),  # noqa: SIM115  # as long as it is read
    ".xz": lambda file, _: lzma.LZMAFile(file),  # noqa: SIM115
    ".zst": _by_arrow("zstd"),
    ".lz4": _by_arrow("lz4"),
    ".zip": _of_zip,
}
