"""Exact match and F1 of extractive question answering, computed per question as SQuAD does."""

import re
import string
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from blurr.metrics.bootstrap import Draws, Numbers, mean_of
from blurr.text.question_answering.spans import AnswerWindow

Version = Literal["auto", "1.1", "2.0"]
Asked = Literal["all", "answerable", "unanswerable"]


class _Questions(ABC):
    """Base of both metrics: the best answer so far to each question, over all its windows.

    Args:
        version: Version of SQuAD: `2.0` ignores true answers that are only articles and punctuation, and scores an
            empty answer to an unanswerable question as right; `auto` is 2.0 if any question has no answer.
        of: Score all questions, the answerable, or the unanswerable ones.
    """

    reads: ClassVar[str] = "answers"
    direction: ClassVar[str] = "maximize"

    def __init__(self, version: Version = "auto", of: Asked = "all") -> None:
        self.version, self.of = version, of
        self.reset()

    def reset(self) -> None:
        self.best: dict[int, tuple[float, str]] = {}
        self.margins: dict[int, float] = {}
        self.true: dict[int, list[str]] = {}

    def update(self, predictions: Sequence[AnswerWindow], targets: Sequence[Sequence[str]]) -> None:
        for window, true in zip(predictions, targets, strict=True):
            row = window.row
            if row not in self.best or window.score > self.best[row][0]:
                self.best[row] = (window.score, window.text)
            self.margins[row] = min(window.margin, self.margins.get(row, window.margin))
            self.true[row] = list(true)

    def compute(self) -> float:
        """Return the mean over the questions in percent, as the official script does."""
        matches = self._matches()
        return 100.0 * sum(matches.values()) / max(len(matches), 1)

    def resampled(self, draws: Draws) -> Numbers:
        """Return the value of each draw of questions; which version of SQuAD applies is that of the whole split."""
        matches = self._matches()
        counts = draws.counts[:, list(matches)]
        return 100.0 * mean_of(counts, list(matches.values()), np.ones(len(matches)))

    def _matches(self) -> dict[int, float]:
        """Return how well each question that is scored is answered, 0 to 1."""
        version = self.version
        if version == "auto":
            version = "1.1" if all(self.true.values()) else "2.0"
        wanted = {"all": (True, False), "answerable": (True,), "unanswerable": (False,)}[self.of]
        rows = [row for row, true in self.true.items() if bool(true) in wanted]
        return {row: self.best_match(self._answer(row), self.true[row], version) for row in rows}

    def _answer(self, row: int) -> str:
        score, text = self.best[row]
        return "" if self.margins[row] > score else text

    @classmethod
    def best_match(cls, predicted: str, true: Sequence[str], version: Version = "2.0") -> float:
        """Compare a predicted answer with the closest true one: 0 to 1."""
        return max(cls.match(predicted, each, version) for each in counted(true, version))

    @staticmethod
    @abstractmethod
    def match(predicted: str, true: str, version: Version) -> float:
        """Compare a predicted answer with a true one: 0 to 1."""


class ExactMatch(_Questions):
    """Percentage of questions answered by one of the true answers, ignoring case, articles and punctuation."""

    @staticmethod
    def match(predicted: str, true: str, version: Version = "2.0") -> float:
        return float(normalized(predicted) == normalized(true))


class AnswerF1(_Questions):
    """Mean over the questions of the F1, in percent, between the words of the answer and of the closest true one."""

    @staticmethod
    def match(predicted: str, true: str, version: Version = "2.0") -> float:
        words, gold = normalized(predicted).split(), normalized(true).split()
        if version == "2.0" and not (words and gold):
            return float(words == gold)
        common = (Counter(words) & Counter(gold)).total()
        if not common:
            return 0.0
        precision, recall = common / len(words), common / len(gold)
        return 2 * precision * recall / (precision + recall)


def counted(true: Sequence[str], version: Version) -> Sequence[str]:
    """Return the true answers to compare with; an empty one if there are none."""
    if version == "2.0":
        true = [answer for answer in true if normalized(answer)]
    return true or [""]


def normalized(answer: str) -> str:
    """Normalize as SQuAD does: lower case, no punctuation, no articles, single spaces."""
    bare = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())
