"""Score a split in a stream, and describe each of its rows; no list of all logits is ever held."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from fastai.learner import Learner
from numpy.typing import NDArray

from blurr.data.core import RawData
from blurr.data.media import shown_rows
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import EncodedRows, Table, by_row, in_order
from blurr.loading.rows_on_disk import AT_ONCE, Rows, room_for
from blurr.metrics.bootstrap import intervals
from blurr.metrics.outcome import Evaluation
from blurr.metrics.streamed import RowsLater, directed, notes_of
from blurr.metrics.worthless import doubts
from blurr.models.losses import loss_per_row
from blurr.targets.base import Target
from blurr.training.distributed import current
from blurr.training.interpretation import EvaluationCallback
from blurr.training.last_validation import Pass, validated


def evaluate(target: Target, learner: Learner, raw: RawData, split: str, roles: Sequence[str]) -> Evaluation:
    """Return scores, described rows, notes and doubts of a split.

    Args:
        target: What the learner learned to give.
        learner: With a loader for each split of `raw`.
        raw: The raw rows.
        split: Which of them.
        roles: Columns that the task reads.
    """
    dl = learner.dls[list(raw.ordered_splits).index(split)].in_one_order()
    found = validated(learner, dl) or _stream(target, learner, dl, partial(described, target))
    if not current().is_first:
        return Evaluation({}, [])  # of several processes, the first has the rows
    rows = described_rows(target, dl, raw.splits[split], found.rows, roles)
    scores = dict(zip(["loss", *(m.name for m in learner.metrics)], map(_number, found.values), strict=True))
    scores |= {m.name: m.metric.score(rows) for m in learner.metrics if isinstance(m, RowsLater)}
    ends = intervals(
        directed(learner.metrics), scores, rows, rows_of(dl, len(rows)), weights=loss_weights(target.predicts, rows)
    )
    return Evaluation(scores, rows, found.notes, doubts(target.predicts, rows, scores), ends)


def described_rows(target: Target, dl: RowsDL, given: Dataset, found: Rows, roles: Sequence[str]) -> Rows:
    """Return the raw rows of a split with what was found of each, on the disk where they are many.

    Args:
        target: What the learner learned to give.
        dl: The loader of the split.
        given: The raw rows.
        found: What a pass over the loader found of the encoded ones, in the order of its batches.
        roles: Columns that the task reads.
    """
    rows, places = room_for(len(found)), np.argsort(dl.get_idxs())
    for raw, encoded in parts_of(dl.dataset, len(given), at_once=len(given) if isinstance(rows, list) else AT_ONCE):
        some = dl.dataset.part(encoded, before=raw.start)
        windows = [found[place] for place in places[encoded.start : encoded.stop].tolist()]
        rows.extend(with_token_counts(target.per_row(shown_rows(given.select(raw)), some, windows, roles), some))
    return rows


def parts_of(encoded: EncodedRows, count: int, *, at_once: int) -> Iterator[tuple[range, range]]:
    """Yield the numbers of some raw rows after the other, and of the encoded rows that come from them.

    Args:
        encoded: The encoded rows; joined texts come from no single raw row.
        count: Number of the raw rows.
        at_once: Number of raw rows that a part has, at most.
    """
    source = np.asarray(encoded.columns["row"]) if "row" in encoded.columns else None
    if source is None and len(encoded) != count:
        for start in range(0, len(encoded), at_once):
            yield range(0), range(start, min(start + at_once, len(encoded)))
        return
    for start in range(0, count, at_once):
        raw = range(start, min(start + at_once, count))
        ends = (raw.start, raw.stop) if source is None else np.searchsorted(source, (raw.start, raw.stop)).tolist()
        yield raw, range(*ends)


def rows_of(dl: RowsDL, count: int) -> NDArray[np.int64]:
    """Return the described row of each prediction, in the order of the batches; windows of a row have the same."""
    order = np.asarray(dl.get_idxs(), dtype=np.int64)
    if len(order) == count:
        return order
    return np.asarray(dl.dataset.columns["row"], dtype=np.int64)[order]


def loss_weights(predicts: Collection[str], rows: Rows) -> NDArray[np.float64]:
    """Return how much the loss of each row weighs in that of the split: its number of targets."""
    named = {"tokens": "target_count", "masks": "target_count", "texts": "target_token_count", "answers": "windows"}
    key = next((named[kind] for kind in predicts if kind in named), None)
    if "words" in predicts:
        return np.array([len(row["target"]) for row in rows], dtype=np.float64)
    if key is None:
        return np.ones(len(rows))
    return np.array([row.get(key, row.get("target_count", 1)) for row in rows], dtype=np.float64)


def interpret(target: Target, learner: Learner, dl: RowsDL) -> Table:
    """Describe each row of a loader, its windows merged, beside what `show_batch` shows of it."""
    dl = dl.in_one_order()
    windows = in_order(dl.get_idxs(), _stream(target, learner, dl, partial(_shown, target)).rows)
    count = 1 + max(dl.dataset.columns.get("row", [len(windows) - 1]), default=-1)
    return [{**_whole(parts), **target.merge_windows(parts)} for parts in by_row(dl.dataset, windows, count) if parts]


def with_token_counts(rows: Table, encoded: EncodedRows) -> Table:
    """Add to each row its length, of all its windows together, and that of a target apart from the source.

    That is `token_count`, or of sounds `length_seconds`; of a target it is `target_token_count`.

    Rows that have no lengths, such as pictures, are returned as they are.
    """
    if not encoded.names.unit:
        return rows
    lengths = encoded.lengths.reshape(len(encoded), -1)
    if len(lengths) != len(rows):
        lengths = np.bincount(np.asarray(encoded.columns["row"]), lengths[:, 0], len(rows))[:, None]
    names = ("length_seconds" if encoded.rate else "token_count", "target_token_count")[: lengths.shape[1]]
    counts: Table = [dict(zip(names, map(int, each), strict=True)) for each in lengths]
    if encoded.rate:
        counts = [{**each, names[0]: round(each[names[0]] / encoded.rate, 3)} for each in counts]
    return [{**row, **count} for row, count in zip(rows, counts, strict=True)]


def _stream(target: Target, learner: Learner, dl: RowsDL, describe: Callable[[Learner], Table]) -> Pass:
    """Validate, and describe the rows."""
    collector = EvaluationCallback(target.decode, describe, completed=target.completed)
    with learner.removed_cbs(learner._grab_cbs(EvaluationCallback)), learner.no_bar():
        values = learner.validate(dl=dl, cbs=collector)
    notes = notes_of(learner.metrics) if current().is_first else {}  # the others' metrics have seen nothing
    return Pass(list(values), collector.rows, notes)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _shown(target: Target, learner: Learner) -> Table:
    inputs = {name: values.cpu() for name, values in learner.xb[0].items()}
    fields = learner.dl.show_rows(learner.dl, inputs, learner.y.cpu(), target.shown_predictions(learner))
    return [{**field, **row} for field, row in zip(fields, described(target, learner), strict=True)]


def described(target: Target, learner: Learner) -> Table:
    """Describe the rows of the batch that the learner has just run, each with its loss."""
    losses = loss_per_row(learner.loss_func, learner.pred, *learner.yb).tolist()
    return [{**row, "loss": loss} for row, loss in zip(target.describe(learner), losses, strict=True)]


def _whole(parts: Table) -> dict[str, Any]:
    """Merge what is shown of the windows of a row: the first of each field, all of each list."""
    joined = {k: [x for part in parts for x in part[k]] for k, v in parts[0].items() if isinstance(v, list)}
    return {**parts[0], **joined}
