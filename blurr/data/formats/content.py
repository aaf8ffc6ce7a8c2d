"""Read the bytes and the text of a file, and say what is wrong with them."""

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

from blurr.errors import InputError

GZIP = ".gz"


def suffix_of(path: Path) -> str:
    """Return the suffix that names the format of a file, without the `.gz` of a compressed one."""
    return (Path(path.stem) if path.suffix.lower() == GZIP else path).suffix.lower()


def bytes_of(path: Path) -> bytes:
    """Read a file; one that ends in `.gz` is unpacked.

    Raises:
        InputError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix.lower() == GZIP else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked: {error}. Compress it anew, or give the plain file.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not content.strip():
        raise InputError(f"{path} is empty. Give a file with rows in it.")
    return content


def lines_of(text: str) -> list[str]:
    r"""Split a text at `\n` and `\r\n` alone: `str.splitlines` also splits at U+2028, U+0085 and form feeds."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def text_of(path: Path, encoding: str) -> str:
    """Read a file of text.

    Raises:
        InputError: it cannot be read, is empty, or is not encoded so.
    """
    content = bytes_of(path)
    try:
        return content.decode(encoding).removeprefix("\ufeff")  # the byte-order mark, in whatever encoding
    except LookupError as error:
        raise InputError(
            f"data.encoding={encoding} is not an encoding that Python knows, as utf-8 or cp1252 are."
        ) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        guess = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        raise InputError(
            f"{path} is not encoded in {encoding}: byte 0x{content[error.start]:02x} in line {line}. "
            f"Set data.encoding to what it is, for example data.encoding={guess}."
        ) from error


def json_of(text: str) -> Any:
    """Read JSON; NaN, which stands for a missing number in files that pandas and numpy made, is null.

    Raises:
        json.JSONDecodeError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.get)
