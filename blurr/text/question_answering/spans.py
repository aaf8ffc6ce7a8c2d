"""Choose the best spans of a context by a model's scores for starts and ends."""

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
        n_best: Spans to keep of each window, and of each question.
        max_answer_length: Longest answer in tokens.
        no_answer: Whether a question may have no answer; `auto`: as in the training rows.
        no_answer_threshold: "No answer" wins if its score exceeds that of the best span by more than this.
    """

    n_best: int = 20
    max_answer_length: int = 30
    no_answer: bool | Literal["auto"] = "auto"
    no_answer_threshold: float = 0.0


class Span(NamedTuple):
    """Characters of a context, end exclusive, and the sum of the scores of start and end."""

    score: float
    start: int
    end: int


@dataclass(frozen=True)
class AnswerWindow:
    """What a model finds in one window of a context.

    Args:
        row: Number of the row that the window comes from.
        context: The whole context.
        spans: The best spans, best first; empty if the window holds no context.
        no_answer_score: The score of "no answer".
        threshold: By how much that must exceed a span's score; infinite if every question has an answer.
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
        """The score that a span must reach to win over "no answer"."""
        return self.no_answer_score - self.threshold


def find_spans(logits: torch.Tensor, inputs: Inputs, contexts: Sequence[str], rules: SpanRules) -> list[AnswerWindow]:
    """Find the best spans in each window of a batch, so that its logits need not be kept.

    All spans of up to `max_answer_length` tokens are compared, not only those of the best starts and ends.

    Args:
        logits: Of start and end, `(batch, sequence, 2)`.
        inputs: The batch; see `tokenize_questions`.
        contexts: The contexts of all rows, by number.
        rules: What counts as an answer.
    """
    logits = logits.detach().float()
    outside = inputs["char_end"] <= inputs["char_start"]  # question, special and pad tokens
    starts, ends = logits.masked_fill(outside[..., None], NEVER).unbind(-1)
    longest = min(rules.max_answer_length, ends.shape[1])
    # (batch, sequence, length): by start and length, so that no span ends before it starts
    scores = starts[..., None] + pad(ends, (0, longest - 1), value=NEVER).unfold(1, longest, 1)
    best, places = scores.flatten(1).topk(min(rules.n_best, scores[0].numel()))
    first = places // longest  # the flat index is start * longest + length - 1
    last = (first + places % longest).clamp(max=ends.shape[1] - 1)
    chars = (inputs["char_start"].gather(1, first), inputs["char_end"].gather(1, last))
    null = logits.sum(-1).gather(1, inputs["no_answer"][:, None]).squeeze(1)  # (batch,): start and end at one token
    # infinite: "no answer" never wins
    threshold = rules.no_answer_threshold if rules.no_answer is True else math.inf
    windows = zip(
        inputs["row"].tolist(), zip(*(x.tolist() for x in (best, *chars)), strict=True), null.tolist(), strict=True
    )
    return [
        AnswerWindow(row, contexts[row], _trimmed(zip(*found, strict=True), contexts[row]), score, threshold)
        for row, found, score in windows
    ]


def _trimmed(found: Iterable[tuple[float, int, int]], context: str) -> list[Span]:
    """Strip white space off spans: byte-level tokens include the space before a word."""
    spans = []
    for score, start, end in found:
        text = context[start:end]
        start += len(text) - len(text.lstrip())
        if score > NEVER and text.strip():
            spans.append(Span(score, start, start + len(text.strip())))
    return spans


def rank_answers(windows: Sequence[AnswerWindow], n: int) -> list[dict[str, Any]]:
    """Return the best answers to a question over all its windows, best first.

    Args:
        windows: All windows of one row.
        n: Number of answers at most, "no answer" included where it is allowed.

    Returns:
        At least one dict: `answer`, `start`, `end` (characters of the context, end exclusive), and `score`, the
        probability among the `n` best. For "no answer", all but the score are `None`.
    """
    best: dict[tuple[int | None, int | None], float] = {}
    for span in (span for window in windows for span in window.spans):
        place = (span.start, span.end)
        best[place] = max(span.score, best.get(place, NEVER))
    margin = min(window.margin for window in windows)  # a question is unanswerable only if every window says so
    if margin > NEVER or not best:
        best[None, None] = margin
    ranked = sorted(best.items(), key=lambda each: -each[1])[:n]
    top = ranked[0][1]  # subtracted, so that exp does not overflow
    weights = [math.exp(score - top) if score > NEVER else 1.0 for _, score in ranked]
    context, total = windows[0].context, sum(weights)
    return [
        {"answer": None if start is None else context[start:end], "start": start, "end": end, "score": w / total}
        for ((start, end), _), w in zip(ranked, weights, strict=True)
    ]
