"""Keep a few rows of each split, drawn at random, for a run that is to be short."""

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import datasets

from blurr.config.annotations import Count
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
    drawn = random.Random(seed).sample(range(rows.num_rows), rows.num_rows)
    labels = rows.with_format(None)[label][:] if label in rows.column_names else []
    if last:
        drawn = [row for row in drawn if labels_in([labels[row]]).isdisjoint(last)] or drawn
    firsts = _first_of_each(labels, drawn)
    others = [row for row in drawn if row not in firsts]
    return rows.select(sorted([*firsts, *others][:limit]))


def _labels(rows: datasets.Dataset, label: str | None) -> set[str]:
    return labels_in(rows.with_format(None)[label][:]) if label in rows.column_names else set()


def _first_of_each(labels: Sequence[Any], order: Sequence[int]) -> dict[int, None]:
    """Return the rows, in this order, with a class that no earlier row has; numbers and spans are not classes."""
    seen: set[str | int | bool] = set()
    firsts: dict[int, None] = {}
    for row in order if len(labels) else ():
        values = labels[row] if isinstance(labels[row], list) else [labels[row]]
        fresh = {value for value in values if isinstance(value, str | int)} - seen
        if fresh:
            seen |= fresh
            firsts[row] = None
    return firsts
