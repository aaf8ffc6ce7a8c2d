"""Keep of a run what its other files do not tell: weights, labels, sizes, and the tokens of each split."""

from dataclasses import asdict
from typing import Any

from fastai.learner import Learner

from blurr.data.core import RawData
from blurr.metrics.outcome import Outcome
from blurr.models.objects import HFObjects
from blurr.models.positions import length_limit
from blurr.report.lengths import token_figures
from blurr.tasks.encoding import ordered_splits
from blurr.tasks.saved import SavedTask

LONGEST = ("max_length", "block_size")  # what tasks call their longest row


def facts_of(saved: SavedTask, raw: RawData, hf: HFObjects, learner: Learner, outcome: Outcome) -> dict[str, Any]:
    """Gather the facts of a run: its task and options, rows, model, loaders, and what its scores ask for."""
    settings = asdict(saved.task)
    loaders = zip((name for name, _ in ordered_splits(raw)), learner.dls.loaders, strict=True)
    limit = length_limit(hf.tokenizer, min((settings[k] for k in LONGEST if settings.get(k)), default=None))
    return {
        "choices": dict(saved.choices),
        "weights": hf.weights,
        "architecture": hf.arch,
        "numbers": {"trained": str(hf.model.dtype).removeprefix("torch."), "stored": hf.stored},
        "parameters": sum(p.numel() for p in hf.model.parameters()),
        "source": raw.source,
        "fingerprint": raw.fingerprint,
        "rows": {split: len(rows) for split, rows in raw.splits.items()},
        "directions": outcome.directions,
        "notes": outcome.notes,
        "doubts": outcome.doubts,
        "labels": saved.task.vocab(hf),
        "tokens": {split: token_figures(dl.dataset.lengths, dl.batches(), limit) for split, dl in loaders},
    }
