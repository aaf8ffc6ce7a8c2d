"""Metrics of translations, by sacrebleu; 0 to 100, over the whole split."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF


class _Corpus:
    """Base: keeps the texts of the rows seen so far, since neither score is a mean over rows."""

    reads: ClassVar[str] = "texts"

    def __init__(self, metric: Any) -> None:
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self.predicted: list[str] = []
        self.true: list[str] = []

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        self.predicted += predictions
        self.true += targets

    def compute(self) -> float:
        return float(self.metric.corpus_score(self.predicted, [self.true]).score)


class Bleu(_Corpus):
    """BLEU, as sacrebleu computes it (Post 2018).

    Args:
        tokenize: sacrebleu's tokenizer: `13a`, `intl`, `char`, `zh`, `none`, …
        lowercase: compare without regard to case.
        smooth: what a length of n-grams counts of which none is right: `none` is plain BLEU (Papineni et al. 2002),
            which is 0 then; `exp` is sacrebleu's own default; or `floor`, `add-k`.
    """

    def __init__(
        self,
        tokenize: str = "13a",
        lowercase: bool = False,
        smooth: Literal["none", "exp", "floor", "add-k"] = "none",
    ) -> None:
        super().__init__(BLEU(tokenize=tokenize, lowercase=lowercase, smooth_method=smooth))


class ChrF(_Corpus):
    """ChrF, the F-score of character n-grams (Popović 2015).

    Args:
        word_order: n-grams of words besides: 0 is chrF, 2 is chrF++.
    """

    def __init__(self, word_order: int = 0) -> None:
        super().__init__(CHRF(word_order=word_order))
