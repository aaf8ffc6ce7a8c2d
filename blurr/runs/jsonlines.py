"""How a run's records are written: strict JSON, and parameters under dotted names."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from blurr.errors import InputError
from blurr.runs.parsing import parse_json, validated

REMEDY = "Put back a copy of the file, or do without this run."


COMPACT = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False)  # made once: a run writes many lines


def to_json(value: Any, indent: int | None = None) -> str:
    """Encode as strict JSON: NaN and the infinities become text, which `float` reads back."""
    try:
        if indent is None:
            return COMPACT.encode(value)
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    except ValueError:  # rare, and looking for them costs more than all the rest
        return json.dumps(_strict(value), ensure_ascii=False, indent=indent, default=str)


def read_whole(path: Path, parse: Callable[[str], Any], kind: Any) -> Any:
    """Read a file that a run has written.

    Args:
        path: of the file.
        parse: reads its text: `parse_json`, `parse_yaml`, or `str` for a text that is no more than that.
        kind: the type of what the file holds, such as `dict` or a pydantic model.

    Returns:
        What the file holds, as plain values.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        found = parse(path.read_text(encoding="utf-8"))
        if kind is not str:
            validated(kind, json.dumps(found))
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read as a run of blurr wrote it: {reason}. {REMEDY}") from error
    return found


def read_lines(path: Path, kind: Any = Any) -> list[Any]:
    """Read a file of one JSON value a line, see `stream_lines`."""
    return list(stream_lines(path, kind))


def stream_lines(path: Path, kind: Any = Any) -> Iterator[Any]:
    """Yield the values of a file of one JSON value a line; a line ends at a line feed and nowhere else.

    The last line is left out where a kill has cut it off.

    Args:
        path: of the file.
        kind: the type of each line, see `read_whole`.

    Raises:
        InputError: another line is broken.
    """
    number, line = 0, ""
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    yield _value(line, kind)
    except (OSError, ValueError) as error:
        if line.endswith("\n") or isinstance(error, OSError | UnicodeDecodeError):
            said = f"{path} cannot be read as a run of blurr wrote it: line {number}: {error}."
            raise InputError(f"{said} {REMEDY}") from error


def _value(line: str, kind: Any) -> Any:
    found = parse_json(line)
    if kind is not Any:
        validated(kind, line)
    return found


def flatten(value: Any, name: str = "") -> dict[str, str]:
    """Name every value of nested dicts by its dotted path, written as one would on the command line."""
    if isinstance(value, dict) and (value or not name):
        parts = [flatten(item, f"{name}.{key}" if name else key) for key, item in value.items()]
        return {key: text for part in parts for key, text in part.items()}
    return {name: value if isinstance(value, str) else to_json(value)}


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
