"""Look at the files of rows once more after training: previews of telling ones, measures, and near-duplicates."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import datasets
import numpy as np
from numpy.typing import NDArray

from blurr.data.core import RawData, Schema
from blurr.data.media import Look, Media, shown
from blurr.errors import InputError
from blurr.loading.rows import Table
from blurr.loading.rows_on_disk import Rows
from blurr.process.setup import usable_cores
from blurr.process.terminal import advance, phase

log = logging.getLogger(__name__)

MOST = 20_000  # rows of a split that are looked at
KEPT = 400  # rows of a split that get a preview: wrong ones first, the highest loss first
PAIRS = 24  # near-duplicates that get one
PLAYED = 60  # of these, those that a page can play
AT_ONCE = 256  # rows in memory
CANDIDATES = 8  # rows of the other splits, by their hashes, whose sketches are compared with that of a row
BITS_APART = 16  # hashes of near-duplicates differ in no more of 64 bits
ALIKE = 0.995  # correlation of the sketches of near-duplicates
SPLITS = ("train", "valid", "test")


class Looks(NamedTuple):
    """What the files of a split look like; `rows` are those that could be looked at, the rest is in their order."""

    rows: NDArray[np.int64]
    bits: NDArray[np.float32]  # (rows, 64), -1 or 1
    sketches: NDArray[np.float32]  # (rows, values), of mean 0 and norm 1
    measures: list[Mapping[str, float]]


class Near(NamedTuple):
    """The row of another split that is most like a row."""

    split: str
    row: int
    likeness: float


Show = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
"""Makes a small picture of a raw row and its description, see `targets.base.Target.preview`."""


def previews_of(schema: Schema, raw: RawData, described: Mapping[str, Rows], show: Show) -> Table:
    """Return what a report shows of the files of rows: a dict for each described row, and for what is like one.

    Args:
        schema: Of the task; the first role of media is shown.
        raw: The raw rows.
        described: Split to its rows, with `target`, `prediction` and `loss`.
        show: Makes the preview of a row whose file does not tell enough.

    Returns:
        `role`, `split`, `row` (its number), `name` and `label`; `measures` and `near` of described rows; `url`, a
        preview, of some; `sound` and `note`, see `data.media.Player`, of some that are played.
    """
    role, files = next(iter(schema.media.items()))
    splits = [split for split in SPLITS if split in raw.splits]
    total, done = sum(min(MOST, len(raw.splits[split])) for split in splits), 0
    phase(f"Looking at {total:,} {files.kind}s")
    looks = {}
    for split in splits:
        looks[split] = _looks(raw.splits[split], role, files, partial(_advance, done, total))
        done += min(MOST, len(raw.splits[split]))
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for split in described:
        near = _near(split, looks)
        for row, measures in zip(looks[split].rows.tolist(), looks[split].measures, strict=True):
            like = {"near": near[row]._asdict()} if row in near else {}
            found.setdefault((split, row), {}).update(measures=measures, **like)
        _choose(found, split, near, _telling(described[split]))
    made = _named(found, schema, raw, described, lambda row, of: show(row, of) or files.preview(row[role]))
    return [{"role": role, "split": split, "row": row, **line} for (split, row), line in made]


def _advance(before: int, total: int, done: int) -> None:
    advance(before + done, total)


def _choose(
    found: dict[tuple[str, int], dict[str, Any]], split: str, near: Mapping[int, Near], telling: Sequence[int]
) -> None:
    """Mark what gets a preview by the field `url`, and what a page can play, too, by `sound`."""
    best = sorted(near, key=lambda row: -near[row].likeness)[:PAIRS]
    pairs = [place for row in best for place in ((split, row), (near[row].split, near[row].row))]
    for place in (*((split, row) for row in telling), *pairs):
        found.setdefault(place, {})["url"] = None
    for place in (*((split, row) for row in telling[:PLAYED]), *pairs):
        found[place]["sound"] = None


def _telling(rows: Rows) -> list[int]:
    """Return the numbers of the rows that a report may show: wrong ones first, the highest loss first."""
    ranks = [(row["target"] == row["prediction"], -float(row["loss"])) for row in rows]
    return sorted(range(len(rows)), key=ranks.__getitem__)[:KEPT]


def _named(
    found: Mapping[tuple[str, int], dict[str, Any]],
    schema: Schema,
    raw: RawData,
    described: Mapping[str, Rows],
    show: Show,
) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """Add names, labels and previews to what is shown."""
    role = next(iter(schema.media))
    for place, marked in sorted(found.items()):
        line = dict(marked)
        if "url" in line:
            split, row = place
            whole = raw.splits[split].with_format(None)[row]
            label = whole.get(schema.label) if schema.label else None
            of_row = described[split][row] if split in described else {}
            known = {"label": label} if isinstance(label, str | int | float) else {}
            played = _played(schema.media[role], whole[role]) if line.pop("sound", True) is None else {}
            line = {"name": shown(whole[role]), **known, **line, "url": _tried(partial(show, whole), of_row), **played}
        yield place, line


def _played(media: Media, cell: Mapping[str, Any]) -> dict[str, str]:
    """Return what a page plays of a file, as fields of its line; nothing for what is not played."""
    player = _tried(media.player, cell)
    return {} if player is None else {"sound": player.url, "note": player.note}


def _tried(look: Callable[[Mapping[str, Any]], Any], source: Mapping[str, Any]) -> Any:
    """Look at a file; None where it is no longer as it was when the run began."""
    try:
        return look(source)
    except InputError as error:
        log.debug("%s", error)
        return None


def _looks(rows: datasets.Dataset, role: str, media: Media, tell: Callable[[int], None]) -> Looks:
    numbers = np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(np.int64))
    column = rows.with_format(None).select_columns([role])
    seen: list[tuple[int, Look]] = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(numbers), AT_ONCE):
            chosen = numbers[start : start + AT_ONCE]
            looked = pool.map(partial(_tried, media.look), column[chosen.tolist()][role])
            seen += [(row, look) for row, look in zip(chosen.tolist(), looked, strict=True) if look is not None]
            tell(start + len(chosen))
    return _stacked(seen)


def _stacked(seen: Sequence[tuple[int, Look]]) -> Looks:
    if not seen:
        return Looks(np.zeros(0, np.int64), np.zeros((0, 64), np.float32), np.zeros((0, 1), np.float32), [])
    bits = np.stack([look.bits for _, look in seen]).astype(np.float32) * 2 - 1
    sketches = np.stack([look.sketch for _, look in seen])
    sketches -= sketches.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(sketches, axis=1, keepdims=True)
    sketches /= np.where(norms > 1, norms, np.inf)  # one without shades is like no other
    return Looks(np.array([row for row, _ in seen]), bits, sketches, [look.measures for _, look in seen])


def _near(split: str, looks: Mapping[str, Looks]) -> dict[int, Near]:
    """Return the near-duplicate of each row that has one in the splits before its own."""
    before = [name for name in looks if SPLITS.index(name) < SPLITS.index(split) and len(looks[name].rows)]
    places = [(name, int(row)) for name in before for row in looks[name].rows]
    if not places:
        return {}
    bits = np.concatenate([looks[name].bits for name in before])
    sketches = np.concatenate([looks[name].sketches for name in before])
    found = {}
    for start in range(0, len(looks[split].rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        best, likeness = _nearest(looks[split].bits[part], looks[split].sketches[part], bits, sketches)
        for row, index, value in zip(looks[split].rows[part].tolist(), best.tolist(), likeness.tolist(), strict=True):
            if value >= ALIKE:
                other, number = places[index]
                found[row] = Near(other, number, round(min(1.0, value), 4))
    return found


def _nearest(
    bits: NDArray[np.float32], sketches: NDArray[np.float32], others: NDArray[np.float32], drawn: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each row, the number of the other row that is most like it, and the correlation of their sketches.

    The correlation is 0 where no hash is near.
    """
    apart = (bits.shape[1] - bits @ others.T) / 2
    many = min(CANDIDATES, len(others))
    near = np.argpartition(apart, many - 1, axis=1)[:, :many]  # (rows, candidates)
    alike = np.einsum("rv,rcv->rc", sketches, drawn[near])
    alike[np.take_along_axis(apart, near, axis=1) > BITS_APART] = 0
    best = alike.argmax(axis=1)[:, None]
    return np.take_along_axis(near, best, axis=1)[:, 0], np.take_along_axis(alike, best, axis=1)[:, 0]
