"""Read the bytes and the text of a file, and say what is wrong with them."""

from pathlib import Path

from blurr.errors import InputError


def bytes_of(path: Path) -> bytes:
    """Read a file.

    Raises:
        InputError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
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
        return content.decode(encoding)
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
