"""Read json: lists of objects, columns, SQuAD's nested questions, COCO's boxes; and one object on each line."""

import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from blurr.data.formats.coco import coco_rows, is_coco
from blurr.data.formats.content import Row, SourceFile
from blurr.data.formats.squad import is_squad, squad_rows
from blurr.data.formats.tables import records, sound
from blurr.errors import InputError

# NaN, which pandas and numpy write for a missing number, is null. json.loads would make a decoder for each line, which
# takes longer than parsing the line.
DECODER = json.JSONDecoder(parse_constant={"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}.get)

AS_TEXT = "Python reads 4300; write it in quotes, as a text."


def read_json(source: SourceFile) -> pa.Table:
    """Read the rows of a json file, which may also hold one object on each line.

    Raises:
        InputError: It is not JSON, or holds no rows.
    """
    text = source.read_text()
    try:
        data = DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return records(_rows(source), str(source))
        raise InputError(f"{source} is not JSON: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{source} is not JSON that holds rows: it is nested too deeply.") from error
    except ValueError as error:
        raise InputError(f"{source} holds a number of too many digits. {AS_TEXT}") from error
    if source.options.format == "squad" or is_squad(data):
        return records(squad_rows(data, str(source)), str(source))
    if is_coco(data):
        return records(coco_rows(data, str(source)), str(source))
    rows = data.get("data", _by_rows(data)) if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise InputError(
            f'{source} must hold a list of objects, or {{"data": [...]}} with such a list, or columns of one length.'
        )
    return records(rows, str(source))


def stream_json_lines(source: SourceFile) -> Iterator[Row | InputError]:
    """Yield the object of each line, or what is wrong with the line; only arrays and SQuAD are read as a whole."""
    first = next((line for line in source.lines() if line.strip()), "")
    is_array = first.lstrip().startswith("[")  # an array of rows under another name
    yield from read_json(source).to_pylist() if is_array else _rows(source)


def _rows(source: SourceFile) -> Iterator[Row | InputError]:
    rows = _parsed_lines(source.lines())
    head = list(islice(rows, 2))  # SQuAD's lines may begin with a header, so that one line is not enough to tell
    if is_squad(head):
        yield from squad_rows(list(sound(chain(head, rows), str(source))), str(source))
    else:
        yield from chain(head, rows)


def _parsed_lines(lines: Iterable[str]) -> Iterator[Row | InputError]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = DECODER.decode(line)
        except json.JSONDecodeError as error:
            wrong = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
            yield InputError(f"Line {number} is not JSON: {wrong}. Each line must be an object.")
        except RecursionError:
            yield InputError(f"Line {number} is not a row: it is nested too deeply.")
        except ValueError:
            yield InputError(f"Line {number} holds a number of too many digits. {AS_TEXT}")
        else:
            yield row if isinstance(row, dict) else _not_an_object(row, number)


def _not_an_object(row: Any, number: int) -> InputError:
    return InputError(f"Line {number} is a {type(row).__name__}. Each line must be an object.")


def _by_rows(columns: dict[str, Any]) -> list[Row] | None:
    """Turn columns of parsed JSON into rows: lists, or objects by row number as pandas writes them.

    Returns:
        The rows; None if the values are not columns of one length.
    """
    values = list(columns.values())
    if values and all(isinstance(value, dict) for value in values):
        if any(value.keys() != values[0].keys() for value in values):
            return None
        values = [list(value.values()) for value in values]
    if not values or not all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
