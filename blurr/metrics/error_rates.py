"""Error rates of transcripts, by torchmetrics: the edits of all rows, divided by the words or characters of all."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from torchmetrics.text import CharErrorRate, WordErrorRate

from blurr.metrics.bootstrap import Draws, Numbers, ratio


class ErrorRate:
    """Substituted, inserted and deleted units by the units of the true texts; above 1 where much is inserted.

    Args:
        unit: `word`, between spaces, for the WER; `character`, spaces included, for the CER.
    """

    reads: ClassVar[str] = "texts"
    direction: ClassVar[str] = "minimize"

    def __init__(self, unit: Literal["word", "character"] = "word") -> None:
        self.metric = WordErrorRate() if unit == "word" else CharErrorRate()
        self.reset()

    def reset(self) -> None:
        self.counts: list[tuple[float, float]] = []

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        for predicted, true in zip(predictions, targets, strict=True):
            self.metric.reset()
            self.metric.update([predicted], [true])
            self.counts.append((float(self.metric.errors), float(self.metric.total)))

    def compute(self) -> float:
        """Return the rate; where no row has a true unit, the number of edits."""
        errors, total = np.array(self.counts).reshape(-1, 2).sum(0)
        return float(errors / max(total, 1))

    def resampled(self, draws: Draws) -> Numbers:
        sums = draws.sums(self.counts)
        return ratio(sums[:, 0], np.maximum(sums[:, 1], 1))
