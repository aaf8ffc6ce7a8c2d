"""Seal what blurr writes with checksums, so that a byte that has changed is found when it is read again.

xxHash is not a defence against somebody who wants to deceive; it finds what disks, copies and editors do to files, at
the speed of the memory.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import xxhash

from blurr.errors import InputError
from blurr.runs.asides import aside, new_aside
from blurr.runs.parsing import parse_json, validated

log = logging.getLogger(__name__)

SEAL = "checksums.json"
OF_FILE = ".checksum"  # ends the name of what is written beside a single file
CHUNK = 2**20  # bytes that are read at once
OF_LINE = ', "sum": "'  # how the checksum of a line of JSON begins


@dataclass
class Sealed:
    """What `checksums.json` of a folder holds: size and checksum of each file."""

    files: dict[str, tuple[int, str]]
    identity: str | None = None


@dataclass
class SealedFile:
    """What is written beside a sealed file."""

    size: int
    checksum: str


class Damaged(InputError):  # noqa: N818  # said of a file
    """A file is not as blurr wrote it, is cut off, or is missing."""


def seal(folder: Path, *, identity: str | None = None) -> None:
    """Write the size and the checksum of every file below a folder into its `checksums.json`, and flush it all.

    Whoever may read the folder may read its files: safetensors writes them for their owner alone.

    Args:
        folder: complete; nothing is written into its files from now on.
        identity: of the run that the folder is of.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    files = {path.relative_to(folder).as_posix(): [path.stat().st_size, file_checksum(path)] for path in found}
    readers = folder.stat().st_mode & 0o444
    for path in found:
        path.chmod(path.stat().st_mode | readers)
        flush(path)
    write_whole(folder / SEAL, _with_sum({"identity": identity, "files": files}), flushed=True)
    flush(folder)


def seal_file(path: Path) -> None:
    """Write the size and the checksum of one file beside it, and flush both."""
    flush(path)
    write_whole(_beside(path), _with_sum({"size": path.stat().st_size, "checksum": file_checksum(path)}), flushed=True)


def verify_file(path: Path) -> None:
    """Compare a file that `seal_file` has sealed with its checksum.

    Raises:
        Damaged: the file is missing, or it or its checksum is not as it was written.
    """
    found = _opened(_beside(path), SealedFile)
    _compare(path, found["size"], found["checksum"])


def is_sealed(folder: Path) -> bool:
    """Has the folder got checksums? Those that earlier versions of blurr wrote have none."""
    return (folder / SEAL).is_file()


def sealed_by(folder: Path) -> str | None:
    """Return the identity of the run that has sealed a folder.

    Raises:
        Damaged: the list of checksums is not as it was written.
    """
    identity: str | None = _read(folder).get("identity")
    return identity


def sealed_files(folder: Path) -> list[str]:
    """Return the files that a folder was sealed with, relative to it; those outside of it are left out.

    Raises:
        Damaged: the list of checksums is not as it was written.
    """
    return [name for name in _read(folder)["files"] if is_below(name)]


def verify(folder: Path, *names: str) -> None:
    """Compare the files of a folder with their checksums.

    Args:
        folder: one that `seal` has sealed.
        names: of the files to look at; none are all.

    Raises:
        Damaged: names the first file that is not as it was written.
    """
    files = _read(folder)["files"]
    for name in names or files:
        if name not in files or not is_below(name):
            raise Damaged(f"{folder / SEAL} is not as it was written: it has {name}, or lacks it.")
        _compare(folder / name, *files[name])


def verify_if_sealed(folder: Path) -> None:
    """Do as `verify` does, and say so where there are no checksums to compare with.

    Raises:
        Damaged: names the first file that is not as it was written.
    """
    if is_sealed(folder):
        verify(folder)
    else:
        log.info("%s has no checksums, for an earlier blurr or another program wrote it: it is taken as it is.", folder)


def put(made: Path, folder: Path) -> None:
    """Move the files of a sealed folder into another one, where others may lie; `made` is gone then.

    The checksums go first: a reader finds the whole, or what is missing.
    """
    for name in [SEAL, *sealed_files(made)]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, folder / name)
    shutil.rmtree(made)


def seal_line(text: str) -> str:
    """Add its checksum to a JSON object on one line."""
    return f'{text[:-1]}{OF_LINE}{text_checksum(text)}"}}'


def open_line(line: str) -> str:
    """Take the checksum off a line; one without is returned as it is.

    Raises:
        Damaged: the line is not as it was written.
    """
    head, sign, rest = line.rpartition(OF_LINE)
    if not sign:
        return line
    text = head + "}"
    if rest != f'{text_checksum(text)}"}}':
        raise Damaged(f"The line {line[:80]} is not as it was written: its checksum is another.")
    return text


def write_whole(path: Path, text: str | Iterable[str], *, flushed: bool = False) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file.
        text: all of it, or its parts, which are written as they come.
        flushed: wait until it has reached the disk, so that a power failure does not leave it empty.
    """
    made = aside(path)
    try:
        with made.open("w", encoding="utf-8") as file:
            file.writelines([text] if isinstance(text, str) else text)
        if flushed:
            flush(made)
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder, which takes the name of another one at the end of the block, whole or not at all.

    Args:
        folder: the name; a folder that has files is not replaced, and ends the block with an OSError.
    """
    with new_aside(folder) as made:
        yield made
        os.replace(made, folder)
        flush(folder.parent)


def flush(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_below(name: str) -> bool:
    """Does a relative path stay within the folder that it is relative to?"""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _compare(path: Path, size: int, checksum: str) -> None:
    if not path.is_file():
        raise Damaged(f"{path} is missing.")
    if path.stat().st_size != size:
        raise Damaged(f"{path} is not as it was written: it has {path.stat().st_size} bytes, and had {size}.")
    if file_checksum(path) != checksum:
        raise Damaged(f"{path} is not as it was written: its checksum is another.")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{OF_FILE}")


def _read(folder: Path) -> dict[str, Any]:
    return _opened(folder / SEAL, Sealed)


def _opened(path: Path, kind: type) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if OF_LINE not in text:
            raise ValueError("it has no checksum of its own")
        opened = open_line(text)
        validated(kind, opened)
        return dict(parse_json(opened))
    except (OSError, ValueError) as error:
        raise Damaged(f"{path} is not as it was written: {type(error).__name__}: {error}") from error


def _with_sum(parts: dict[str, Any]) -> str:
    return seal_line(json.dumps(parts, ensure_ascii=False, separators=(",", ":")))


def file_checksum(path: Path, size: int | None = None) -> str:
    """Return the checksum of a file, or of as many bytes at its beginning as `size` says."""
    left, found = path.stat().st_size if size is None else size, xxhash.xxh3_128()
    with path.open("rb") as stream:
        while left > 0 and (part := stream.read(min(left, CHUNK))):
            found.update(part)
            left -= len(part)
    return found.hexdigest()


def text_checksum(text: str) -> str:
    """Return the checksum of a text."""
    return xxhash.xxh3_64_hexdigest(text.encode())
