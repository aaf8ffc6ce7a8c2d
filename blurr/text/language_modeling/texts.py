"""The rows that both kinds of language models learn from."""

from collections.abc import Sequence
from typing import Any

from blurr.data.core import Schema
from blurr.errors import InputError
from blurr.text.language_modeling.samples import stories

NOTHING = (
    "The texts of a split hold nothing to learn from: they are blank, or shorter than two tokens. Check "
    "data.columns.text."
)
SCHEMA = Schema(required=("text",), optional=(), label=None, sample=stories)


def without_blanks(texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """Leave blank texts out, in which there is nothing to learn; and return the numbers of the others, and these.

    Raises:
        InputError: all are blank.
    """
    kept = [i for i, text in enumerate(texts) if text.strip()]
    if not kept:
        raise InputError(NOTHING)
    return kept, [texts[i] for i in kept]


def with_targets(columns: dict[str, list[Any]], wanted: list[bool]) -> dict[str, list[Any]]:
    """Keep the rows that have a target, as `wanted` says.

    Raises:
        InputError: there is none.
    """
    if not any(wanted):
        raise InputError(NOTHING)
    return {name: [v for v, w in zip(values, wanted, strict=True) if w] for name, values in columns.items()}
