"""The metric of summaries, in a module of its own because rouge-score takes long to import."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from rouge_score import rouge_scorer, tokenizers

from blurr.metrics.texts import MeanOfTexts, Tokenizer, Way, words_of

ENDS = ("\u3002", "\uff01", "\uff1f", "\u0964", "\u061f", "\u06d4")  # of sentences in other scripts; no space follows


class Rouge(MeanOfTexts):
    """ROUGE F-measure of generated texts (Lin 2004), by Google's rouge-score, averaged over the rows.

    rouge-score reads only the letters a to z: it scores texts in other scripts as 0, even if they are equal.

    Args:
        kind: `rouge1` and `rouge2` count common words and pairs of words, `rougeL` the longest common subsequence,
            `rougeLsum` the same sentence by sentence.
        stemmer: Compare words of the letters a to z by their Porter stems.
        tokenizer: How to find words: `latin` as rouge-score does; `whitespace` splits at white space and punctuation;
            `characters` also between the characters of scripts without spaces; `auto` chooses by the script of each
            row's reference, see `blurr.metrics.texts.way_of`.
    """

    def __init__(
        self,
        kind: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL",
        stemmer: bool = True,
        tokenizer: Tokenizer = "auto",
    ) -> None:
        self.kind = kind
        ways: tuple[Way, ...] = ("latin", "whitespace", "characters")
        self.scorers = {way: rouge_scorer.RougeScorer([kind], tokenizer=_Cutter(stemmer, way)) for way in ways}
        super().__init__(tokenizer)

    def scores(self, predictions: Sequence[str], targets: Sequence[str]) -> Iterator[float]:
        for predicted, true in zip(predictions, targets, strict=True):
            way = self.way(true)
            if self.kind == "rougeLsum":
                predicted, true = _a_sentence_per_line(predicted), _a_sentence_per_line(true)
            yield float(self.scorers[way].score(true, predicted)[self.kind].fmeasure)


class _Cutter(tokenizers.DefaultTokenizer):  # type: ignore[misc]  # rouge-score is not typed
    """Cut a text into words once, though several ROUGE metrics read it."""

    def __init__(self, stemmer: bool, way: Way) -> None:
        super().__init__(stemmer)
        self.stemmer, self.way = stemmer, way

    def tokenize(self, text: str) -> list[str]:
        return list(_words(text, self.stemmer, self.way))


@lru_cache(maxsize=4096)
def _words(text: str, stemmer: bool, way: Way) -> tuple[str, ...]:
    english = tokenizers.DefaultTokenizer(stemmer)
    if way == "latin":
        return tuple(english.tokenize(text))
    words = words_of(text, way)
    return tuple(part for word in words for part in (english.tokenize(word) if word.isascii() else [word]))


def _a_sentence_per_line(text: str) -> str:
    """Put each sentence on a line of its own, by punctuation, as rougeLsum wants; needs no trained model."""
    for end in (". ", "! ", "? "):
        text = text.replace(end, end[0] + "\n")
    for end in ENDS:
        text = text.replace(end, end + "\n")
    return text
