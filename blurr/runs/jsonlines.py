"""How a run's records are written: strict JSON, and parameters under dotted names."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from yaml import YAMLError

from blurr.errors import InputError

REMEDY = "Take it from a backup, or leave this run out."


def to_json(value: Any, indent: int | None = None) -> str:
    """Encode as strict JSON: NaN and the infinities become text, which `float` reads back."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    except ValueError:  # rare, and looking for them costs more than all the rest
        return json.dumps(_strict(value), ensure_ascii=False, indent=indent, default=str)


def read_whole(path: Path, parse: Callable[[str], Any], kind: type) -> Any:
    """Read a file that a run has written.

    Args:
        path: of the file.
        parse: reads its text, as `json.loads` does.
        kind: what the file holds, such as `dict`.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read as a run of blurr wrote it: {reason}. {REMEDY}") from error
    if not isinstance(found, kind):
        raise InputError(f"{path} is not as a run of blurr wrote it: it holds {str(found)!r:.60}. {REMEDY}")
    return found


def read_lines(path: Path) -> list[Any]:
    """Read a file of one JSON value a line; a line ends at a line feed and nowhere else.

    The last line is left out where a kill has cut it off.

    Raises:
        InputError: another line is broken.
    """
    # not splitlines: it splits at U+2028, form feeds and others, which JSON leaves as they are inside a text
    *whole, last = read_whole(path, str, str).split("\n")
    found = []
    for number, line in enumerate(whole, 1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            said = f"{path} cannot be read as a run of blurr wrote it: line {number} is no JSON ({error})."
            raise InputError(f"{said} {REMEDY}") from error
    with suppress(ValueError):
        found += [json.loads(last)] if last.strip() else []
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
