"""Metrics of translations by sacrebleu: 0 to 100, over the whole split."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
import regex
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from blurr.config.annotations import Natural
from blurr.metrics.bootstrap import Draws, Numbers
from blurr.metrics.texts import ANY

log = logging.getLogger(__name__)
KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
HAN = regex.compile(r"\p{Han}")
NO_SPACES = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
MUCH = 0.3  # from this share of the letters on, the references count as written in a script
A_FEW_KANA = 0.05  # Japanese texts have Chinese letters, too


class _Corpus(ABC):
    """Base: keeps the texts of all rows, since neither score is a mean over rows."""

    reads: ClassVar[str] = "texts"
    direction: ClassVar[str] = "maximize"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.predicted: list[str] = []
        self.true: list[str] = []

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        self.predicted += predictions
        self.true += targets

    @abstractmethod
    def metric(self) -> Any:
        """Return sacrebleu's metric for the texts seen so far."""

    def compute(self) -> float:
        return float(self.metric().corpus_score(self.predicted, [self.true]).score)

    def resampled(self, draws: Draws) -> Numbers:
        """Return the score of each draw: sacrebleu adds up counts of n-grams, which each row has by itself."""
        metric = self.metric()
        of_rows = metric._extract_corpus_statistics(self.predicted, [self.true])
        totals = draws.sums(of_rows).round().astype(np.int64).tolist()
        return np.array([metric._compute_score_from_stats(each).score for each in totals])


class Bleu(_Corpus):
    """BLEU, as sacrebleu computes it (Post 2018).

    Args:
        tokenize: Sacrebleu's tokenizer: `13a`, `intl`, `char`, `zh`, `ja-mecab`, `none`, …; `auto` is `13a`, as in
            published figures, except for scripts without spaces between words, see `tokenizer_for`.
        lowercase: Ignore case.
        smooth: How to count a length of n-grams without a match: `none` is plain BLEU (Papineni et al. 2002), which
            is 0 then; `exp` is sacrebleu's own default; or `floor`, `add-k`.
    """

    def __init__(
        self,
        tokenize: str = "auto",
        lowercase: bool = False,
        smooth: Literal["none", "exp", "floor", "add-k"] = "none",
    ) -> None:
        self.tokenize, self.lowercase, self.smooth = tokenize, lowercase, smooth
        self._made(tokenize if tokenize != "auto" else "13a")  # so that an unknown tokenizer shows at once
        super().__init__()

    def _made(self, tokenize: str) -> BLEU:
        return BLEU(tokenize=tokenize, lowercase=self.lowercase, smooth_method=self.smooth)

    def metric(self) -> BLEU:
        chosen = tokenizer_for(self.true) if self.tokenize == "auto" else self.tokenize
        if chosen != "13a" and self.tokenize == "auto":
            _say(chosen)
        return self._made(chosen)

    def note(self) -> str | None:
        """Return the tokenizer; None for that of most published figures."""
        chosen = tokenizer_for(self.true) if self.tokenize == "auto" else self.tokenize
        return None if chosen == "13a" else f"tokenizer {chosen}"


@cache
def _say(tokenizer: str) -> None:
    log.info(
        "BLEU reads references in a script without spaces between words: it takes sacrebleu's tokenizer %s. To choose "
        "another, set tokenize in metrics.",
        tokenizer,
    )


def tokenizer_for(references: Sequence[str]) -> str:
    """Choose sacrebleu's tokenizer by the script of the references.

    Returns:
        `zh` for Chinese; `ja-mecab` for Japanese where mecab is installed (`pip install sacrebleu[ja]`), else `char`;
        `char` for Thai, Lao, Khmer, Burmese and Tibetan; `13a` for all others.
    """
    text = "".join(references)
    letters = len(ANY.findall(text)) or 1
    kana, han, others = (len(script.findall(text)) / letters for script in (KANA, HAN, NO_SPACES))
    if kana + han >= MUCH and kana >= A_FEW_KANA:
        return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
    if han >= MUCH:
        return "zh"
    return "char" if others >= MUCH else "13a"


class ChrF(_Corpus):
    """ChrF, the F-score of character n-grams (Popović 2015).

    Args:
        word_order: Length of word n-grams to add: 0 is chrF, 2 is chrF++.
    """

    def __init__(self, word_order: Natural = 0) -> None:
        self.word_order = word_order
        super().__init__()

    def metric(self) -> CHRF:
        return CHRF(word_order=self.word_order)
