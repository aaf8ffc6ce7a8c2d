"""Choose the best spans of a context by the scores that a model gives to their starts and ends."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch.nn.functional import pad

from blurr.loading.rows import Inputs

NEVER = -math.inf


@dataclass(frozen=True)
class SpanRules:
    """What counts as an answer.

    Args:
        n_best: spans to keep of each window and of each question.
        max_answer_length: longest answer in tokens.
        no_answer: whether a question may have no answer; `auto`: as in the training rows.
        no_answer_threshold: "no answer" is taken when its score is above that of the best span by more than this.
    """

    n_best: int = 20
    max_answer_length: int = 30
    no_answer: bool | Literal["auto"] = "auto"
    no_answer_threshold: float = 0.0


class Span(NamedTuple):
    """Characters of a context, end exclusive, and the sum of the scores of their start and end."""

    score: float
    start: int
    end: int


@dataclass(frozen=True)
class AnswerWindow:
    """What a model finds in one window of a context.

    Args:
        row: number of the row that the window comes from.
        context: the whole of it.
        spans: the best ones, best first; none where the window holds no context.
        no_answer_score: what it gives to "no answer".
        threshold: by how much that must be above a span's score; infinite where every question has an answer.
    """

    row: int
    context: str
    spans: list[Span]
    no_answer_score: float
    threshold: float

    @property
    def score(self) -> float:
        """The score of the best span."""
        return self.spans[0].score if self.spans else NEVER

    @property
    def text(self) -> str:
        """The text of the best span."""
        return self.context[self.spans[0].start : self.spans[0].end] if self.spans else ""

    @property
    def margin(self) -> float:
        """What a span must reach to be preferred to "no answer"."""
        return self.no_answer_score - self.threshold


def find_spans(logits: torch.Tensor, inputs: Inputs, contexts: Sequence[str], rules: SpanRules) -> list[AnswerWindow]:
    """Find the best spans in each window of a batch, without ever keeping its logits.

    All spans of up to `max_answer_length` tokens are compared, not only those of the best starts and ends.

    Args:
        logits: of start and end, `(batch, sequence, 2)`.
        inputs: the batch; see `tokenize_questions`.
        contexts: of all rows, by their numbers.
        rules: what counts as an answer.
    """
    logits = logits.detach().float()
    outside = inputs["char_end"] <= inputs["char_start"]  # question, special and pad tokens, window by window
    starts, ends = logits.masked_fill(outside[..., None], NEVER).unbind(-1)
    longest = min(rules.max_answer_length, ends.shape[1])
    # (batch, sequence, length): a span is its start and its length, so none ends before it starts
    scores = starts[..., None] + pad(ends, (0, longest - 1), value=NEVER).unfold(1, longest, 1)
    best, places = scores.flatten(1).topk(min(rules.n_best, scores[0].numel()))
    first = places // longest
    last = (first + places % longest).clamp(max=ends.shape[1] - 1)
    chars = (inputs["char_start"].gather(1, first), inputs["char_end"].gather(1, last))
    null = logits.sum(-1).gather(1, inputs["no_answer"][:, None]).squeeze(1)
    threshold = rules.no_answer_threshold if rules.no_answer is True else math.inf
    windows = zip(
        inputs["row"].tolist(), zip(*(x.tolist() for x in (best, *chars)), strict=True), null.tolist(), strict=True
    )
    return [
        AnswerWindow(row, contexts[row], _trimmed(zip(*found, strict=True), contexts[row]), score, threshold)
        for row, found, score in windows
    ]


def _trimmed(found: Iterable[tuple[float, int, int]], context: str) -> list[Span]:
    """Take white space off spans: byte-level tokens hold the space before a word."""
    spans = []
    for score, start, end in found:
        text = context[start:end]
        start += len(text) - len(text.lstrip())
        if score > NEVER and text.strip():
            spans.append(Span(score, start, start + len(text.strip())))
    return spans


def rank_answers(windows: Sequence[AnswerWindow], n: int) -> list[dict[str, Any]]:
    """Give the best answers of a question over all its windows, best first.

    Args:
        windows: all of one row.
        n: answers at the most, "no answer" among them where it is allowed.

    Returns:
        `answer`, `start`, `end` (characters of the context, end exclusive) and `score`, its probability among the `n`
        best; `None` but for the score where there is no answer. At least one.
    """
    best: dict[tuple[int | None, int | None], float] = {}
    for span in (span for window in windows for span in window.spans):
        place = (span.start, span.end)
        best[place] = max(span.score, best.get(place, NEVER))
    margin = min(window.margin for window in windows)
    if margin > NEVER or not best:
        best[None, None] = margin
    ranked = sorted(best.items(), key=lambda each: -each[1])[:n]
    top = ranked[0][1]
    weights = [math.exp(score - top) if score > NEVER else 1.0 for _, score in ranked]
    context = windows[0].context
    return [
        {
            "answer": None if start is None else context[start:end],
            "start": start,
            "end": end,
            "score": weight / sum(weights),
        }
        for ((start, end), _), weight in zip(ranked, weights, strict=True)
    ]
