"""Read lists and dicts that stand printed in a cell of a table: as JSON, or as Python, pandas and numpy print them."""

import ast
import json
import re
from collections.abc import Iterable
from typing import Any

import datasets
import pyarrow as pa

from blurr.data.formats.content import ROWS
from blurr.data.formats.tables import with_values
from blurr.errors import InputError

TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
ITEM = rf"(?:{TEXT}|[-+]?[\w.]+(?:[-+]\d+)?)"
TEXTS = re.compile(TEXT, re.DOTALL)
# numpy prints lists without commas: ['a' 'b'] is one text to Python, and two to everybody else
WITHOUT_COMMAS = re.compile(rf"\[\s*{ITEM}(?:\s+{ITEM})+\s*\]", re.DOTALL)
OPENS = ("[", "{", "(", "array(")
WRAPPERS = frozenset({"array", "list", "tuple", "str_", "bool_", "int64", "int32", "int8", "float64", "float32"})
WORDS = {"nan": None, "NaN": None, "null": None, "true": True, "false": False, "inf": float("inf")}
# a MemoryError when the stack of the parser is full
UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


class NotPrintedError(ValueError):
    """A text is not a printed list or dict."""


def looks_printed(text: str) -> bool:
    """Say whether a text opens like a printed list or dict."""
    return text.lstrip().startswith(OPENS)


def read_printed(text: str) -> Any:
    """Read a printed list or dict of texts, numbers, lists and dicts; nothing in it is run.

    Args:
        text: JSON (`["a", "b"]`), a Python literal (`['a', 'b']`, `{'text': ['a']}`), what pandas prints of arrays
            (`{'text': array(['a'], dtype=object)}`) or what numpy prints (`['a' 'b']`, `[1 0 1]`).

    Returns:
        Lists and dicts; tuples and arrays are lists, and `nan` is None.

    Raises:
        NotPrintedError: The text is none of these.
    """
    text = text.strip()
    if not looks_printed(text):
        raise NotPrintedError("it does not begin with a bracket")
    try:
        return _plain(json.loads(text, parse_constant=WORDS.get))
    except (ValueError, RecursionError):  # of JSON, or a number of too many digits
        return _python(text)


def _python(text: str) -> Any:
    if WITHOUT_COMMAS.fullmatch(text):
        text = f"[{', '.join(re.findall(ITEM, text, re.DOTALL))}]"
    elif _has_neighbours(text):
        raise NotPrintedError("two texts follow each other without a comma")
    try:
        tree = _Unwrapped().visit(ast.parse(text, mode="eval"))
        return _plain(ast.literal_eval(tree))
    except UNREADABLE as error:
        raise NotPrintedError("it is neither JSON nor a Python literal") from error


def _has_neighbours(text: str) -> bool:
    """Say whether two texts stand beside each other, which Python would make one of."""
    found = list(TEXTS.finditer(text))
    return any(not text[a.end() : b.start()].strip() for a, b in zip(found, found[1:], strict=False))


class _Unwrapped(ast.NodeTransformer):
    """Put the list in place of `array([...], dtype=object)`, the text in place of `np.str_('a')`, None for `nan`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[inner]) if name in WRAPPERS:
                found: ast.AST = self.visit(inner)
                return found
        return node  # which literal_eval refuses

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(WORDS[node.id]) if node.id in WORDS else node


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return None if value != value else value
    raise NotPrintedError(f"it holds {value!r}")


def with_lists(rows: datasets.Dataset, needed: Iterable[str], possible: Iterable[str], where: str) -> datasets.Dataset:
    """Put lists and dicts in place of the texts that show them, in the columns of a table that can hold texts alone.

    Args:
        rows: The rows of a split.
        needed: Columns that must hold lists; a cell that opens like a list and is none is refused.
        possible: Columns that may hold lists: they are read where every filled cell is a list or dict.
        where: Where the rows are from, for messages.

    Raises:
        InputError: When a cell cannot be read. The message names its row.
    """
    for column, is_needed in {**dict.fromkeys(possible, False), **dict.fromkeys(needed, True)}.items():
        if column not in rows.column_names or not _is_text(rows.info.features[column]):
            continue
        if _are_printed(rows, column):
            values = _lists(rows.with_format(None)[column][:], column, where, is_needed=is_needed)
            rows = rows if values is None else _with_column(rows, column, values, where)
    return rows


def _is_text(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def _are_printed(rows: datasets.Dataset, column: str) -> bool:
    """Return whether all cells that are filled look like printed lists; most columns' first rows say no."""
    plain = rows.with_format(None).select_columns([column])
    filled = (cell for block in plain.iter(ROWS) for cell in block[column] if cell and cell.strip())
    is_any = False
    for cell in filled:
        if not looks_printed(cell):
            return False
        is_any = True
    return is_any


def _lists(cells: list[str | None], column: str, where: str, *, is_needed: bool) -> list[Any] | None:
    """Read the cells of a column; None where they stay what they are."""
    values: list[Any] = []
    for row, cell in enumerate(cells, start=1):
        try:
            values.append(read_printed(cell) if cell and cell.strip() else None)
        except NotPrintedError as error:
            if not is_needed:
                return None
            raise InputError(
                f"{where}: row {row} (counted from 1) has no list of {column!r} but {cell!r:.80}: {error}. Write "
                'lists as JSON, such as ["a", "b"], or give a jsonl or parquet file.'
            ) from error
    return values


def _with_column(rows: datasets.Dataset, column: str, values: list[Any], where: str) -> datasets.Dataset:
    try:
        pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{where} has lists of several types in the column {column!r}: {error}.") from error
    return with_values(rows, column, values)
