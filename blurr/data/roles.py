"""Name columns by a task's roles, keep all others beside them and blurr's own fields, and check every row."""

import logging
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blurr.data.cells import holds_media
from blurr.data.distinct import Distinct
from blurr.data.formats.content import ROWS
from blurr.data.formats.printed import with_lists
from blurr.data.formats.spooled import column_of
from blurr.data.formats.tables import with_array
from blurr.data.known_labels import NUMBER
from blurr.data.labels import LabelOptions
from blurr.data.media import Media
from blurr.data.naming import WEIGHT, Columns, Roles, chosen_columns, missing_column
from blurr.errors import InputError

log = logging.getLogger(__name__)

FIELDS = frozenset(
    (
        *("target", "prediction", "loss", "score", "probs", "error"),
        *("start", "end", "exact_match", "f1", "others", "windows"),
        *("token_count", "length_seconds", "target_token_count", "target_count", "right_count", "nll"),
        *("segments", "alignment"),
    )
)
"""Names that are blurr's in the described rows of every task."""
PREFIX = "source_"
LabelReader = Callable[[Mapping[str, datasets.Dataset], Mapping[str, str]], Mapping[str, datasets.Dataset]]
Shaper = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Schema(Roles):
    """What a task needs of its rows.

    Attributes:
        sample: Makes one generated row under the names of the roles.
        blank: Roles that a row may leave empty, as a question without an answer does; their columns are read as text.
        sample_rows: How many generated rows a model from scratch learns the task from.
        writes_labels: Whether the labels are texts that the model writes, not names of classes.
        labels: How labels that are classes or numbers are read; None leaves them as the source has them.
        media: Role to what its modality knows of the files that it holds, such as pictures.
        reader: Reads labels that are neither classes nor numbers, such as boxes, where the files of media have been
            examined: of the splits, and where their rows are from; returns the splits.
        aliases: Role to other usual names of its column.
        shaper: Makes the value of the first required role of a row by role, which may come in several shapes, so that
            none of the columns is required; raises an InputError that goes on after the number of the row.
    """

    sample: Callable[[random.Random], dict[str, Any]]
    blank: tuple[str, ...] = ()
    sample_rows: int = 3000
    writes_labels: bool = False
    labels: LabelOptions | None = LabelOptions()
    media: Mapping[str, Media] = field(default_factory=dict)
    reader: LabelReader | None = None
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shaper: Shaper | None = None

    @property
    def classes(self) -> str | None:
        """The role whose values are labels: classes, lists of classes or numbers; None if the task has none."""
        is_other = self.label in self.blank or self.label in self.media or self.writes_labels
        return None if is_other else self.label

    @property
    def inputs(self) -> tuple[str, ...]:
        """Roles available at prediction time: all but the label, the weight and roles that may be blank."""
        return tuple(role for role in self.roles if role not in (self.label, WEIGHT) and role not in self.blank)

    @property
    def needed(self) -> tuple[str, ...]:
        """Roles that every item to predict on must fill."""
        return tuple(role for role in self.inputs if role in self.required)

    @property
    def texts(self) -> frozenset[str]:
        """The roles that hold a text in each row; a role that the generated row lacks is taken for one."""
        example = self.sample(random.Random(0))
        maybe = (*self.inputs, self.label) if self.writes_labels else self.inputs
        return frozenset(role for role in maybe if role and isinstance(example.get(role, ""), str)) - set(self.media)

    @property
    def suffixes(self) -> dict[str, frozenset[str]]:
        """The suffixes of files by the roles that hold media."""
        return {role: media.suffixes for role, media in self.media.items()}

    @property
    def lists(self) -> frozenset[str]:
        """The roles that hold a list in each row, such as words and their tags."""
        example = self.sample(random.Random(0))
        return frozenset(role for role in self.roles if isinstance(example.get(role), list) and role not in self.blank)

    @property
    def maybe_lists(self) -> frozenset[str]:
        """The roles that hold lists or dicts in some data and texts in other: answers, and labels that are classes."""
        return frozenset({*self.blank, *([self.label] if self.label else [])}) - self.texts - self.lists


def text_columns(schema: Schema, columns: Columns | None) -> frozenset[str]:
    """Return the source columns that are always text: all with a role except labels that are classes."""
    chosen = chosen_columns(schema, columns or {})
    others = (name for names in schema.aliases.values() for name in names)
    return frozenset((*(str(column) for role, column in chosen.items() if role != schema.classes), *others))


def with_found_media(rows: datasets.Dataset, schema: Schema, columns: Columns) -> Columns:
    """Return the columns of roles, with the only column of media for a role whose own one is missing.

    Args:
        rows: As their source has them.
        schema: What the task needs.
        columns: Role to column, as the user names them.
    """
    taken = {*map(str, columns.values()), *schema.roles}
    for role, media in schema.media.items():
        if columns.get(role) in (None, role) and role in schema.required and role not in rows.column_names:
            names = [name for name in rows.column_names if name not in taken and holds_media(rows, name, media)]
            if len(names) == 1:
                log.info("The column %r holds the %ss (data.columns.%s).", names[0], media.kind, role)
                columns = {**columns, role: names[0]}
    return columns


def under_roles(
    rows: datasets.Dataset, schema: Schema, chosen: dict[str, str | list[str]], where: str
) -> datasets.Dataset:
    """Rename columns to roles; a column that stands in the way of a role becomes `source_<its name>`.

    Raises:
        InputError: When a column is missing, or two roles name the same one.
    """
    rows = _with_nested(rows, chosen)
    names: dict[str, str] = {}
    for role, column in chosen.items():
        if isinstance(column, list):
            rows = _joined(rows, column, role, where)
        elif column in rows.column_names:
            names[column] = names.get(column, role)
            _check_single(names, column, role, where)
        elif (role in schema.required and schema.shaper is None) or column != role:
            raise InputError(missing_column(rows.column_names, role, column, where))
    ours = {*names.values(), WEIGHT} if WEIGHT in schema.roles else set(names.values())
    blocked = names_apart((name for name in rows.column_names if name not in names), ours)
    return with_lists(rows.rename_columns(blocked | names), schema.lists, schema.maybe_lists, where)


def _check_single(names: Mapping[str, str], column: str, role: str, where: str) -> None:
    if names[column] != role:
        raise InputError(
            f"{where}: data.columns.{names[column]} and data.columns.{role} both name the column {column!r}. "
            "Give each role a column of its own."
        )


def _with_nested(rows: datasets.Dataset, chosen: Mapping[str, str | list[str]]) -> datasets.Dataset:
    """Unfold nested columns when one is asked for by a dotted name, as in `translation.de`."""
    wanted = {column for column in chosen.values() if isinstance(column, str) and "." in column}
    return rows.flatten() if wanted - set(rows.column_names) else rows


def _joined(rows: datasets.Dataset, columns: list[str], role: str, where: str) -> datasets.Dataset:
    """Join several columns of 0 and 1 into one of lists, which name the columns with a 1; a half and more is a 1."""
    for column in columns:
        if column not in rows.column_names:
            raise InputError(missing_column(rows.column_names, role, column, where))
    marks = np.stack([_marks(Distinct.of(rows, column), column, where) for column in columns], axis=1)
    rows = rows.remove_columns(columns)
    if role in rows.column_names:
        rows = rows.rename_column(role, free_name(role, rows.column_names))
    sets, codes = np.unique(marks, axis=0, return_inverse=True)
    names = [[name for name, mark in zip(columns, each, strict=True) if mark] for each in sets.tolist()]
    feature = datasets.List(datasets.Value("string"))
    return with_array(rows, role, Distinct(names, codes.reshape(-1)).array(feature), feature)


def _marks(values: Distinct, column: str, where: str) -> NDArray[np.bool_]:
    for row, value in values.firsts():
        if _share(value) is None:
            raise InputError(
                f"{where}: row {row} (counted from 1) has {value!r:.40} in the column {column!r}. Each column of "
                "labels holds 0 or 1 (true or false, or a share between) in every row. Correct the row or leave it out."
            )
    return values.where(lambda value: (_share(value) or 0.0) >= 0.5)


def _share(value: Any) -> float | None:
    """Return how much of a label a cell says there is, from 0 to 1; None if it says no such thing."""
    text = str(value).strip().lower()
    share = {"true": 1.0, "false": 0.0}.get(text)
    if share is None and NUMBER.fullmatch(text):
        share = float(text)
    return share if share is not None and 0 <= share <= 1 else None


def check_filled(rows: datasets.Dataset, schema: Schema, where: str) -> None:
    """Refuse rows that lack a value in one of the task's columns.

    Raises:
        InputError: Names the role, how many rows lack it, and the first of them.
    """
    for role in schema.roles:
        if role not in rows.column_names or role in schema.blank:
            continue
        empty = _empty_rows(rows, role, is_label=role == schema.label)
        if len(empty):
            raise InputError(
                f"{where} has no value for {role!r} in {len(empty)} of {rows.num_rows} rows, first in row "
                f"{empty[0] + 1} (counted from 1). Fill these rows or take them out."
            )


def check_texts(rows: datasets.Dataset, schema: Schema, where: str) -> None:
    """Refuse numbers, lists and whatever else is not a text in a role of texts.

    Raises:
        InputError: Names the role and what it holds.
    """
    for role in sorted(schema.texts.intersection(rows.column_names)):
        feature = rows.info.features[role]
        if not (isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")):
            kind = feature.dtype if isinstance(feature, datasets.Value) else type(feature).__name__
            inside = next(iter(feature)) if isinstance(feature, dict) and feature else None
            dot = f" A dot reaches into an object: <column>.{inside}." if inside else ""
            raise InputError(
                f"{where} has no texts for {role!r} but values of type {kind}, such as {str(rows[0][role])[:60]!r}. "
                f"Turn them into texts, or name another column: data.columns.{role}=<column>.{dot}"
            )


def with_weights(rows: datasets.Dataset, where: str) -> datasets.Dataset:
    """Return the rows with their weights as numbers, where they have some.

    Raises:
        InputError: A weight is not a number of at least 0, or all are 0.
    """
    if WEIGHT not in rows.column_names:
        return rows
    weights = np.fromiter(_weights(rows, where), dtype=np.float64, count=rows.num_rows)
    if not weights.any():
        raise InputError(f"{where}: all weights (data.columns.weight) are 0, so that nothing would be trained on.")
    return with_array(rows, WEIGHT, column_of(lambda: [pa.array(weights)], weights.nbytes), datasets.Value("float64"))


def _weights(rows: datasets.Dataset, where: str) -> Iterator[float]:
    values = chain.from_iterable(block[WEIGHT] for block in rows.with_format(None).select_columns([WEIGHT]).iter(ROWS))
    for row, value in enumerate(values, start=1):
        text = str(value).strip()
        weight = float(text) if NUMBER.fullmatch(text) else -1.0
        if not 0 <= weight < math.inf:
            raise InputError(
                f"{where}: row {row} (counted from 1) has the weight {value!r:.40} (data.columns.weight). A weight is "
                "a number of at least 0. Correct the row or leave it out."
            )
        yield weight


def _empty_rows(rows: datasets.Dataset, role: str, *, is_label: bool) -> NDArray[np.int64]:
    column = rows.select_columns([role]).with_format("arrow")[:].column(role)
    empty = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
    if is_label and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        empty = pc.or_(empty, pc.equal(pc.fill_null(column, ""), ""))
    return np.flatnonzero(empty.to_numpy())


def label_names(rows: datasets.Dataset, schema: Schema, chosen: Mapping[str, str | list[str]]) -> list[str] | None:
    """Return the names of the classes if the source has them."""
    if schema.label is None or schema.label not in rows.column_names:
        return None
    column = chosen[schema.label]
    if isinstance(column, list):
        return column
    feature = rows.info.features[schema.label]
    inner = feature.feature if isinstance(feature, datasets.List) else feature
    return list(inner.names) if isinstance(inner, datasets.ClassLabel) else None


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
