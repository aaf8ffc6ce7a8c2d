"""Which column holds which role of a task. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blurr.errors import InputError, listed, nearest

Columns = Mapping[str, str | Sequence[str] | None]
"""Role to column; a list of columns for multi-label data; None for the column that is named as its role."""


WEIGHT = "weight"
"""The role of the column that says how much a row counts in training; only a column that is named for it has it."""


MEANINGS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev", "development"),
    "test": ("test", "testing"),
}
"""Split to the names that sources have for it."""


@dataclass(frozen=True)
class Roles:
    """The roles that columns play in a task.

    Attributes:
        required: Roles that every row must fill.
        optional: Roles that are used if the data has them.
        label: The role that holds the labels, or None for a task without.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    label: str | None

    @property
    def roles(self) -> tuple[str, ...]:
        """All roles, the required ones first."""
        return self.required + self.optional


def chosen_columns(roles: Roles, columns: Columns) -> dict[str, str | list[str]]:
    """Return every role with its column, or its columns.

    Raises:
        InputError: When a role is not one of the task's, or a role other than the label names several columns.
    """
    for role, column in columns.items():
        if role not in roles.roles and column is not None:
            raise InputError(
                f"data.columns.{role}={column} names a role that this task does not have."
                f"{nearest(role, roles.roles)} Its roles are {list(roles.roles)}. If the data "
                "is for another task, choose that task; if this one can do without the column, set the role to null."
            )
    chosen: dict[str, str | list[str]] = {}
    taken = {column for column in columns.values() if isinstance(column, str)}
    for role in roles.roles:
        column = columns.get(role)
        if column is None and (role == WEIGHT or (role in roles.optional and role in taken)):
            continue
        if column is None or isinstance(column, str):
            chosen[role] = column or role
        elif role == roles.label:
            chosen[role] = list(column)
        else:
            raise InputError(
                f"data.columns.{role}={list(column)} is a list. Name one column; only labels take several."
            )
    return chosen


def missing_column(names: Sequence[str], role: str, column: str, where: str) -> str:
    """Say that rows lack the column of a role.

    Args:
        names: The columns that there are.
        role: The role.
        column: The column that was looked for.
        where: Where the rows are from.
    """
    message = (
        f"{where} has no column {column!r} for {role!r}.{nearest(column, names)} It has {listed(names)}; "
        f"set data.columns.{role}=<column>."
    )
    if len(names) == 1 and any(sign in names[0] for sign in ";\t|,"):
        message += " If its one column should be several, set data.delimiter, for example data.delimiter=';'."
    if role == column == "label" and "file" in names and len(names) == 2:  # a folder without folders in it
        message += " Files that lie in a folder for each class, named as it, have their label by that."
    elif set(names) <= {"text", "file", "label"}:
        message += " If it is not plain text, set data.format to its format, for example data.format=conll."
    return message


def split_name(name: str) -> str | None:
    """Say which split a name means: `validation`, `val` and `dev` are all `valid`; None when it means no split."""
    return next((meaning for meaning, names in MEANINGS.items() if name.lower() in names), None)
