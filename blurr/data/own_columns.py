"""Keep the columns of the user's data beside the fields that blurr adds to each row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

FIELDS = frozenset(
    (
        *("target", "prediction", "loss", "score", "probs", "error"),
        *("start", "end", "exact_match", "f1", "others", "windows"),
        *("token_count", "target_token_count", "target_count", "right_count", "nll"),
    )
)
"""Names that are blurr's in the described rows of every task."""
PREFIX = "source_"


def free_name(name: str, taken: Collection[str]) -> str:
    """Return `name` with `source_` put before it until no column has that name."""
    while name in taken:
        name = PREFIX + name
    return name


def names_apart(columns: Iterable[str], ours: Collection[str]) -> dict[str, str]:
    """Return the new name of each column that has one of our names: `source_<its name>`."""
    columns = list(columns)
    return {name: free_name(name, {*columns, *ours}) for name in columns if name in ours}


def beside(
    given: Sequence[Mapping[str, Any]], fields: Sequence[Mapping[str, Any]], roles: Collection[str]
) -> list[dict[str, Any]]:
    """Put the fields that blurr adds beside the rows that were read, without overwriting any of their columns.

    Args:
        given: The rows that were read.
        fields: What is added to each of them.
        roles: Columns that the task reads; a field of the same name replaces the column.
    """
    ours = (FIELDS | {name for row in fields for name in row}).difference(roles)
    names = names_apart(dict.fromkeys(name for row in given for name in row), ours)
    own = [{names.get(name, name): value for name, value in row.items()} for row in given] if names else given
    return [{**row, **each} for row, each in zip(own, fields, strict=True)]


def own_column(row: Mapping[str, Any], name: str) -> str:
    """Return the name under which described rows hold the user's column `name`."""
    return PREFIX + name if name in FIELDS and PREFIX + name in row else name
