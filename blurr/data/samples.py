"""Generate sample data for every task: seeded, made in a second, learnable from scratch, and without a network."""

import random
from collections.abc import Callable
from functools import lru_cache

import datasets

from blurr.config.annotations import Count, Fraction, SampleRows, Seed
from blurr.data.cells import packed
from blurr.data.core import Columns, RawData, Schema, raw_data
from blurr.data.formats.content import Row
from blurr.data.media import Media
from blurr.errors import InputError

# Draws without a new row before the generator counts as exhausted.
PATIENCE = 1000


def load_samples(
    schema: Schema,
    *,
    rows: SampleRows | None = None,
    valid: Fraction = 0.2,
    seed: Seed = 42,
    columns: Columns | None = None,
    limit: Count | None = None,
) -> RawData:
    """Generate rows for a task; no input stands in both splits.

    Args:
        schema: What the task needs of its rows; its `sample` makes one row.
        rows: How many rows to make for all splits together; None for as many as the task is learned from.
        valid: Share of the rows that are for validation.
        seed: The same seed gives the same rows, on any machine.
        columns: Role to column; the generated columns are named by role.
        limit: Number of rows per split to keep.

    Returns:
        The rows as the splits `train` and `valid`.

    Raises:
        InputError: When the generator knows fewer different rows than asked for, or a split would be empty.
    """
    rows = schema.sample_rows if rows is None else rows
    made = different_rows(schema.sample, rows, seed=seed, label=schema.label, media=tuple(schema.media.items()))
    cut = rows - round(rows * valid)
    if cut in (0, rows):
        raise InputError(
            f"data.rows={rows} with data.valid={valid} leaves {cut} rows for training and {rows - cut} for "
            "validation. Both need at least one; raise data.rows or change data.valid."
        )
    splits = {"train": datasets.Dataset.from_list(made[:cut]), "valid": datasets.Dataset.from_list(made[cut:])}
    return raw_data(splits, schema, columns=columns, source="sample", limit=limit, seed=seed)


@lru_cache(maxsize=4)  # the trials of a sweep are forked from a process that has made them
def different_rows(
    make: Callable[[random.Random], Row],
    count: int,
    *,
    seed: int,
    label: str | None,
    media: tuple[tuple[str, Media], ...] = (),
) -> list[Row]:
    """Draw rows until `count` of them differ in what the model sees, that is, in all but the label.

    Objects that are media, such as pictures, are packed into files in memory.
    """
    rng = random.Random(seed)
    rows: dict[str, Row] = {}
    idle = 0
    while len(rows) < count:
        drawn = make(rng)
        row = {**drawn, **{role: packed(drawn[role], kind) for role, kind in media if role in drawn}}
        key = repr([value for role, value in sorted(row.items()) if role != label])
        idle = idle + 1 if key in rows else 0
        if idle > PATIENCE:
            raise InputError(
                f"The sample data of this task has only about {len(rows)} different rows; lower data.rows={count}."
            )
        rows.setdefault(key, row)
    return list(rows.values())
