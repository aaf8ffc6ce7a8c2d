"""Decide which labels a model knows, in which order, and what happens to rows that have others."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blurr.data.distinct import Distinct
from blurr.errors import InputError

log = logging.getLogger(__name__)

UnknownLabels = Literal["refuse", "drop"]

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
PLACEHOLDER = re.compile(r"LABEL_\d+")
MOST_NAMED = 20
MOST_DIGITS = 4000  # Python reads no number of many more


def is_number(label: str) -> bool:
    """Return whether a label is a number in decimal digits, nan or inf."""
    return bool(NUMBER.fullmatch(label) or NOT_FINITE.fullmatch(label))


def sorted_labels(names: Iterable[str]) -> list[str]:
    """Sort the names of labels: by value if all are whole numbers, else as texts."""
    names = set(names)
    if all(WHOLE.fullmatch(name) and len(name) <= MOST_DIGITS for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def label_ids(names: Sequence[str]) -> dict[str, int]:
    """Return the id of each label; if no label has a name (`LABEL_0`, `LABEL_1`), the number is a name, too."""
    ids = {name: i for i, name in enumerate(names)}
    if names and all(PLACEHOLDER.fullmatch(name) for name in names):
        ids |= {str(i): i for i in range(len(names)) if str(i) not in ids}
    return ids


def labels_in(column: Iterable[Any]) -> set[str]:
    """Return the labels of rows, each once."""
    return {each for label in column if label for each in (label if isinstance(label, list) else [label])}


def known_only(
    columns: Mapping[str, Distinct],
    known: Sequence[str],
    *,
    unknown: UnknownLabels,
    where: Mapping[str, str],
    who: str,
    whole: Callable[[], Distinct] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each split, all of whose labels are known; the others are refused, or left out.

    Args:
        columns: Split to labels.
        known: The labels that can be learnt, or were.
        unknown: `refuse` rows with other labels, or `drop` them.
        where: Split to its name and where its rows are from, for messages.
        who: Who does not know the others, for messages: `no training row has`.
        whole: Returns the labels of the rows that the splits were drawn from,
            whose numbers are those that a user finds.

    Raises:
        InputError: There are such rows; names all such labels. Or no row is left.
    """
    there = set(label_ids(known))

    def is_unknown(label: Any) -> bool:
        return bool(labels_in([label]) - there)

    bad = {split: column.where(is_unknown) for split, column in columns.items()}
    found = {split: np.flatnonzero(rows) for split, rows in bad.items() if rows.any()}
    if not found:
        return {}
    labels = sorted_labels({each for split in found for each in labels_in(columns[split].values)} - there)
    split = next(iter(found))
    first = np.flatnonzero((columns[split] if whole is None else whole()).where(is_unknown))[0] + 1
    counts = ", ".join(f"{len(rows)} of the {len(columns[name])} {name} rows" for name, rows in found.items())
    said = (
        f"{where[split]} has {_which(labels)}, which {who}: in {counts}, first in row {first} (counted from 1). "
        f"There are {_some(sorted_labels(known))}."
    )
    if unknown == "refuse":
        raise InputError(f"{said} {_remedy([*labels, *known], is_split=len(columns) > 1)}")
    log.warning("%s They are left out (data.unknown_labels=drop).", said)
    empty = [split for split, rows in found.items() if len(rows) == len(columns[split])]
    if empty:
        raise InputError(f"{said} Without them {where[empty[0]]} has no row. Give rows with labels that are known.")
    return {split: np.flatnonzero(~bad[split]) for split in found}


def _which(labels: Sequence[str]) -> str:
    return f"{'the label' if len(labels) == 1 else f'{len(labels)} labels,'} {_some(labels)}"


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(map(repr, labels[:MOST_NAMED]))
    return shown + (f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else "")


def _remedy(labels: Sequence[str], *, is_split: bool) -> str:
    numbers = "If the labels are numbers to predict, set task.kind=regression. " if all(map(is_number, labels)) else ""
    drawn = (
        "Where rows are drawn, data.splits.by=stratified keeps each label in training, and so does a higher data.limit."
    )
    return (
        f"{numbers if is_split else ''}Correct the labels, or leave these rows out: data.unknown_labels=drop."
        f"{' ' + drawn if is_split else ''}"
    )
