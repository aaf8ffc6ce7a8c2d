"""The files and folders that a user names: what stands there, and a walk through a folder that ends."""

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from blurr.errors import InputError, shortened

MOST_ENTRIES = 1_000_000  # of a folder that is walked through
MOST_SECONDS = 20
ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+)://?")
LONGEST_PATH = 4096  # bytes; each part of it 255
LONGEST_NAME = 255
SPECIAL = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def check_path(text: str) -> None:
    """Refuse what cannot be the path of a file: an address, a NUL byte, more letters than a path may have.

    Raises:
        InputError: says which, and what to do.
    """
    address = ADDRESS.match(text)
    if address and address["scheme"] == "hf":
        name = "/".join(text[address.end() :].removeprefix("datasets/").split("/")[:2])
        raise InputError(f"{text} is an address of the Hub. Load the data set by its name: data=hub data.name={name}")
    if address:
        raise InputError(f"{shortened(text)} is an address, and files are read from a disk. Download it first.")
    if not text.strip():
        raise InputError("An empty text is not the path of a file. Name a file or a folder; '.' is the current one.")
    if "\0" in text:
        raise InputError(f"{text!r} holds a NUL byte, which no path may. Leave it out.")
    long = max(len(os.fsencode(part)) for part in re.split(r"[/\\]", text))
    if len(os.fsencode(text)) > LONGEST_PATH or long > LONGEST_NAME:
        raise InputError(
            f"{shortened(text)} is too long for a path: {LONGEST_PATH} bytes are the most, and {LONGEST_NAME} for each "
            "name in it. Several files are a list, [a.csv,b.csv], or a pattern, 'folder/*.csv'."
        )


def expanded(text: str) -> Path:
    """Return the path that a text names, with the user's home in place of `~`.

    Raises:
        InputError: it is not the path of a file.
    """
    check_path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{text} begins with the home of a user who is not known here. Write it out.") from error


def kind_of(path: Path) -> Literal["file", "folder"] | None:
    """Return what stands at a path; None for nothing.

    Raises:
        InputError: nobody can tell, as in a folder that may not be read.
    """
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Name a file that you may read.") from error


def check_regular(path: Path) -> None:
    """Refuse a pipe, a socket or a device, which may never end, or are read once only.

    Raises:
        InputError: names what it is.
        OSError: there is no such file, or it may not be looked at.
    """
    mode = path.stat().st_mode
    special = next((name for is_special, name in SPECIAL.items() if is_special(mode)), None)
    if special is not None:
        raise InputError(f"{path} is {special}, not a file. Write what it gives into a file, and name that.")


def walk(folder: Path, *, follows_links: bool = False) -> Iterator[Path]:
    """Yield the files below a folder, in no order; what is no regular file is left out.

    Args:
        folder: where to begin.
        follows_links: whether to enter links to folders, unless they lead back to a folder that they lie in.

    Raises:
        InputError: a folder in it cannot be read, or there is more in it than a data set has.
    """
    until, seen = time.monotonic() + MOST_SECONDS, 0
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=follows_links):
        seen += len(files) + len(folders)
        if seen > MOST_ENTRIES or time.monotonic() > until:
            raise InputError(
                f"The folder {folder} holds too much to look through: {seen} files and folders were seen up to "
                f"{place}. Name the folder that holds the rows, or their files by a pattern, such as 'folder/*.csv'."
            )
        if follows_links:
            folders[:] = [name for name in folders if not _leads_back(Path(place, name))]
        for name in files:
            path = Path(place, name)
            if path.is_file():
                yield path


def _refuse(error: OSError) -> None:
    raise InputError(
        f"The folder {error.filename} cannot be read: {error.strerror}. Name a folder, or the files in it, that you "
        "may read."
    ) from error


def _leads_back(path: Path) -> bool:
    """Return whether a link leads to a folder that it lies in."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())
