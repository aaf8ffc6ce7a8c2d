"""Read conll files: a token and its tags on each line, a blank line after each sentence."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from blurr.errors import InputError

Lines = list[tuple[int, list[str]]]
DOCUMENT_MARK = "-DOCSTART-"


def parse_conll(content: Iterable[str], where: str, delimiter: str | None = None) -> list[dict[str, Any]]:
    """Read sentences as rows of word lists.

    A sentence ends at a line that is empty or holds nothing but white space. Lines that start a document
    (`-DOCSTART-`) and comments (they start with `#` and have another number of fields than the tokens) are left out.

    Args:
        content: The lines of the file.
        where: The name of the file, for messages.
        delimiter: What separates the fields of a line; None for a tab if the line has one, else spaces.

    Returns:
        A row per sentence. The first field of the lines stands under `tokens`, the last under `labels`, the n-th
        between them under `column_<n>`. Where documents are marked, `document` is their number, from 0.

    Raises:
        InputError: a line has another number of fields than the others.
    """
    sentences = list(_sentences(content, delimiter))
    width = _width([fields for _, lines in sentences for _, fields in lines], where)
    names = ["tokens", *(f"column_{n}" for n in range(2, width)), "labels"]
    rows: list[dict[str, Any]] = []
    for document, lines in sentences:
        tokens = [fields for fields in _tokens(lines, width, where) if fields[0] != DOCUMENT_MARK]
        if tokens:
            row: dict[str, Any] = dict(zip(names, map(list, zip(*tokens, strict=True)), strict=True))
            rows.append(row if document is None else {**row, "document": document})
    return rows


def _sentences(content: Iterable[str], delimiter: str | None) -> Iterator[tuple[int | None, Lines]]:
    """Yield each sentence's numbered lines, and the number of its document where documents are marked."""
    lines: Lines = []
    document = None
    for number, line in enumerate(chain(content, [""]), start=1):
        line = line.removesuffix("\n").removesuffix("\r")
        marks = line.startswith(DOCUMENT_MARK)
        if line.strip() and not marks:
            lines.append((number, _fields(line, delimiter)))
            continue
        if lines:
            yield document, lines
            lines = []
        if marks:
            document = 0 if document is None else document + 1


def _fields(line: str, delimiter: str | None) -> list[str]:
    between = delimiter or ("\t" if "\t" in line else None)
    return [field.strip(" ") if between else field for field in line.rstrip(" ").split(between)]


def _width(lines: list[list[str]], where: str) -> int:
    """Return how many fields a line of tokens has, from the first line that cannot be a comment."""
    first = next((fields for fields in lines if not fields[0].startswith("#")), lines[0] if lines else [])
    if len(first) < 2:
        raise InputError(
            f"{where} has no tags: its first line of tokens is {' '.join(first)!r}. A conll file has a token and its "
            "tag on each line, with a tab or spaces between them; set data.delimiter for another sign."
        )
    return len(first)


def _tokens(lines: Lines, width: int, where: str) -> Iterator[list[str]]:
    for number, fields in lines:
        if len(fields) == width:
            yield fields
        elif not fields[0].startswith("#"):
            raise InputError(
                f"{where} has {len(fields)} fields in line {number} ({' '.join(fields)[:60]!r}) where the other lines "
                f"have {width}. Correct the line, or set data.delimiter to what stands between the fields."
            )
