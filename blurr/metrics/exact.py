"""Score generated texts by whether they are the true ones."""

from collections.abc import Sequence
from typing import ClassVar

from blurr.metrics.bootstrap import Draws, Numbers


class ExactText:
    """Share of generated texts that equal the true ones, apart from white space.

    Args:
        ignore_case: Compare in lower case.
    """

    reads: ClassVar[str] = "texts"
    direction: ClassVar[str] = "maximize"

    def __init__(self, ignore_case: bool = False) -> None:
        self.ignore_case = ignore_case
        self.reset()

    def reset(self) -> None:
        self.of_rows: list[float] = []

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        self.of_rows += [float(self._plain(p) == self._plain(t)) for p, t in zip(predictions, targets, strict=True)]

    def _plain(self, text: str) -> str:
        plain = " ".join(text.split())
        return plain.lower() if self.ignore_case else plain

    def compute(self) -> float:
        return sum(self.of_rows) / max(len(self.of_rows), 1)

    def resampled(self, draws: Draws) -> Numbers:
        return draws.means(self.of_rows)
