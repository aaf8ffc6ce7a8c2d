"""The metric of summaries; apart from the others, because what it rests on takes long to load."""

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal

from rouge_score import rouge_scorer, tokenizers


class Rouge:
    """ROUGE F-measure of generated texts (Lin 2004), by Google's rouge-score, averaged over the rows.

    Args:
        kind: `rouge1` and `rouge2` count common words and pairs of words, `rougeL` the longest common subsequence,
            `rougeLsum` the same sentence by sentence.
        stemmer: compare words by their Porter stems.
    """

    reads: ClassVar[str] = "texts"

    def __init__(
        self, kind: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL", stemmer: bool = True
    ) -> None:
        self.kind = kind
        self.scorer = rouge_scorer.RougeScorer([kind], tokenizer=_CachedTokenizer(stemmer))
        self.reset()

    def reset(self) -> None:
        self.total, self.rows = 0.0, 0

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        for predicted, true in zip(predictions, targets, strict=True):
            if self.kind == "rougeLsum":
                predicted, true = _a_sentence_per_line(predicted), _a_sentence_per_line(true)
            self.total += self.scorer.score(true, predicted)[self.kind].fmeasure
            self.rows += 1

    def compute(self) -> float:
        return self.total / max(self.rows, 1)


class _CachedTokenizer(tokenizers.DefaultTokenizer):  # type: ignore[misc]  # rouge-score is not typed
    """Cut a text into words once, though several ROUGE metrics read it."""

    def __init__(self, stemmer: bool) -> None:
        super().__init__(stemmer)
        self.stemmer = stemmer

    def tokenize(self, text: str) -> list[str]:
        return list(_words(text, self.stemmer))


@lru_cache(maxsize=4096)
def _words(text: str, stemmer: bool) -> tuple[str, ...]:
    return tuple(tokenizers.DefaultTokenizer(stemmer).tokenize(text))


def _a_sentence_per_line(text: str) -> str:
    """Put each sentence on a line of its own, by punctuation, as rougeLsum wants; needs no trained model."""
    for end in (". ", "! ", "? "):
        text = text.replace(end, end[0] + "\n")
    return text
