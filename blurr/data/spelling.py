"""Spell values as text: one way for each number and truth value, whatever type its source gave it."""

import datetime
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from blurr.errors import InputError

SCALARS = (str, bool, int, float, Decimal, np.generic, datetime.date, datetime.time, datetime.timedelta)
NUMBERS = (float, Decimal, np.floating)


def is_missing(value: Any) -> bool:
    """Return whether a value is missing. The text NA is not."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, NUMBERS) and math.isnan(value))


def spell(value: Any, *, whole: bool = True) -> str | None:
    """Write a value as text.

    Args:
        value: A text, which stays as it is, a number, a truth value or a date.
        whole: Write a float without a fraction as an integer, `7` and not `7.0`.

    Returns:
        The text; None for a missing value.

    Raises:
        InputError: The value is a list or an object.
    """
    if is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if whole and isinstance(value, NUMBERS) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if not isinstance(value, SCALARS):
        raise InputError(f"{value!r:.80} is a {type(value).__name__}, not a text, a number or a truth value.")
    try:
        return str(value)
    except ValueError as error:
        raise InputError("a number has more digits than Python writes; give it as a text") from error


def are_whole(values: Iterable[Any]) -> bool:
    """Return whether all floats among the values are whole numbers."""
    return all(math.isfinite(v) and v == int(v) for v in values if isinstance(v, NUMBERS) and not is_missing(v))


def spelled_column(values: Iterable[Any]) -> pa.Array:
    """Make a column of texts, or of lists of texts, from values of several types, such as `1`, `true` and `"maybe"`.

    Raises:
        InputError: A value is an object, or some are lists and others are not.
    """
    values = list(values)
    if any(isinstance(value, list) for value in values):
        given = [value for value in values if not is_missing(value)]
        if not all(isinstance(value, list) for value in given):
            raise InputError("some of its values are lists, and others are not")
        whole = are_whole(each for value in given for each in value)
        cells = [None if is_missing(value) else [spell(each, whole=whole) for each in value] for value in values]
        return pa.array(cells, pa.list_(pa.string()))
    whole = are_whole(values)
    return pa.array([spell(value, whole=whole) for value in values], pa.string())
