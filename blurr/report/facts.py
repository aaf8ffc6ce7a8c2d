"""Gather facts of a run that its other files do not tell: weights, labels, sizes, and the tokens of each split."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from fastai.learner import Learner
from numpy.typing import NDArray

from blurr.data.core import RawData
from blurr.data.doubts import seen_in, sketch
from blurr.loading.bucketing import Batches
from blurr.metrics.outcome import Outcome
from blurr.models.objects import HFObjects
from blurr.tasks.saved import SavedTask
from blurr.text.lengths import length_limit

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
BINS = 30
MOST_BROKEN = 1000  # names of files that were left out
LONGEST = ("max_length", "block_size")  # the fields by which tasks limit the length of a row


def facts_of(saved: SavedTask, raw: RawData, hf: HFObjects, learner: Learner, outcome: Outcome) -> dict[str, Any]:
    """Return the facts of a run: its options, weights, model and rows, and what is needed to read its scores."""
    settings = asdict(saved.task)
    loaders = zip(raw.ordered_splits, learner.dls.loaders, strict=True)
    unit = learner.dls.train_ds.names.unit
    return {
        "choices": dict(saved.choices),
        "predicts": saved.task.target.scored(hf).kind,
        "weights": hf.weights,
        "architecture": hf.arch,
        "numbers": {"trained": str(hf.model.dtype).removeprefix("torch."), "stored": hf.stored},
        "parameters": sum(p.numel() for p in hf.model.parameters()),
        "adapter": None if hf.adapter is None else str(hf.adapter),
        "source": raw.source,
        "fingerprint": raw.fingerprint,
        "seen": sketch(seen_in(raw.train, saved.task.schema)),
        "broken": {split: names[:MOST_BROKEN] for split, names in raw.broken.items()},
        "rows": {split: len(rows) for split, rows in raw.splits.items()},
        "directions": outcome.directions,
        "notes": outcome.notes,
        "doubts": outcome.doubts,
        "labels": saved.task.target.vocab(hf),
        "processor": saved.task.inputs.summary(hf.processor),
        "rate": learner.dls.train_ds.rate,
        "tokens": {
            split: token_figures(dl.dataset.lengths, dl.batches(), _limit(settings, hf) if unit == "tokens" else None)
            for split, dl in (loaders if unit else ())
        },
    }


def _limit(settings: Mapping[str, Any], hf: HFObjects) -> int | None:
    """Return the tokens at which rows are cut."""
    return length_limit(hf.tokenizer, min((settings[k] for k in LONGEST if settings.get(k)), default=None))


def token_figures(lengths: NDArray[np.integer[Any]], batches: Batches, limit: int | None) -> dict[str, Any]:
    """Summarize the lengths of a split's tokenized rows, and the padding of its batches.

    Args:
        lengths: tokens, `(rows,)`; `(rows, 2)` if targets are padded separately from sources.
        batches: of one pass.
        limit: tokens at which rows are cut; None if they are not.

    Returns:
        `rows`, `tokens` and `padding` (real tokens and pads of one pass), `batches`, `limit`, `quantiles` and
        `histogram` of the sources' lengths, and `at_limit`: rows with exactly `limit` tokens, most of them cut.
    """
    columns = lengths.reshape(len(lengths), -1)
    source = columns[:, 0]
    padded = int(batches.padded(columns).sum())
    real = sum(int(column[batches.rows].sum()) for column in columns.T)
    counts, edges = np.histogram(source, bins=min(BINS, max(1, int(np.ptp(source)))))
    return {
        "rows": len(columns),
        "tokens": int(columns.sum()),
        "padding": padded - real,
        "batches": len(batches),
        "limit": limit,
        "at_limit": int((source == limit).sum()) if limit else 0,
        "quantiles": dict(zip(map(str, QUANTILES), np.quantile(source, QUANTILES).tolist(), strict=True)),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
