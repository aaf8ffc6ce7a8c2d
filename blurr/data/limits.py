"""Keep a few rows of each split, drawn at random, for a run that is to be short."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import datasets
import numpy as np
from numpy.typing import NDArray

from blurr.config.annotations import Count
from blurr.data.distinct import Distinct
from blurr.data.drawing import drawn
from blurr.data.formats.picked import picked
from blurr.data.known_labels import labels_in

Limit = Count | dict[Literal["train", "valid", "test"], Count] | None
"""Rows per split to keep: a number for each split, or one number for all."""


def limited(
    parts: Mapping[str, datasets.Dataset], limit: Limit, *, label: str | None, seed: int, learns_labels: bool
) -> dict[str, datasets.Dataset]:
    """Keep a random sample of the rows of each split, in their order; see `_limited`.

    Args:
        parts: The splits, `train` among them.
        limit: Rows to keep.
        label: The column of the labels.
        seed: Decides which rows are kept.
        learns_labels: The labels are those of the training rows: of a thousand classes, a few training rows have a
            few, and rows of other splits with the rest of the labels are left out.
    """
    limits: dict[str, int | None] = dict(limit.items()) if isinstance(limit, dict) else dict.fromkeys(parts, limit)
    train = _limited(parts["train"], limits.get("train"), label, seed)
    lost = _labels(parts["train"], label) - _labels(train, label) if learns_labels else set()
    return {
        name: train if name == "train" else _limited(part, limits.get(name), label, seed, last=lost)
        for name, part in parts.items()
    }


def _limited(
    rows: datasets.Dataset, limit: int | None, label: str | None, seed: int, *, last: Collection[str] = ()
) -> datasets.Dataset:
    """Keep a random sample of the rows, in their order; in it, the first row drawn of every label that is a class.

    Args:
        rows: The rows of a split.
        limit: Rows to keep.
        label: The column of the labels.
        seed: Decides which rows are kept.
        last: Rows with one of these labels are left out, unless there are no others.
    """
    if limit is None or limit >= rows.num_rows:
        return rows
    labels = Distinct.of(rows, label) if label is not None and label in rows.column_names else None
    order: NDArray[np.integer[Any]] = np.fromiter(drawn(rows.num_rows, seed), dtype=np.int64, count=rows.num_rows)
    if last and labels is not None:
        is_known = labels.where(lambda value: labels_in([value]).isdisjoint(last))
        order = order[is_known[order]] if is_known.any() else order
    firsts = [] if labels is None else _first_of_each(labels, order)
    # those that are taken for their label are not taken again
    others = order[: limit + len(firsts)]
    chosen = [*firsts, *others[~np.isin(others, firsts)].tolist()][:limit]
    return picked(rows, np.array(sorted(chosen), dtype=np.int64))


def _labels(rows: datasets.Dataset, label: str | None) -> set[str]:
    if label is None or label not in rows.column_names:
        return set()
    return labels_in(Distinct.of(rows, label).values)


def _first_of_each(labels: Distinct, order: NDArray[np.integer[Any]]) -> list[int]:
    """Return the rows, in this order, with a class that no earlier row has; numbers and spans are not classes."""
    seen: set[str | int | bool] = set()
    firsts: list[int] = []
    codes, places = np.unique(labels.codes[order], return_index=True)
    for place, code in sorted(zip(places.tolist(), codes.tolist(), strict=True)):
        value = labels.values[code]
        fresh = {each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str | int)} - seen
        if fresh:
            seen |= fresh
            firsts.append(int(order[place]))
    return firsts
