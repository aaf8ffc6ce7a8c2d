"""Predict the labels of words, and join labelled words into entities."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, get_args

import numpy as np
from fastai.learner import Learner
from numpy.typing import NDArray

from blurr.errors import InputError, nearest
from blurr.loading.rows import Inputs
from blurr.metrics.streamed import StreamedMetric
from blurr.text.token_classification.metrics import OUTSIDE, Seqeval, entities, inside_of
from blurr.text.token_classification.words import Labeling, Span, Words, read_words
from blurr.training.inference import Result, as_items, infer_windows
from blurr.training.learner import Blearner

Aggregation = Literal["token", "simple", "first", "max", "average"]


@dataclass(frozen=True)
class ScoredToken:
    """A token of a word, with a model's probabilities.

    Attributes:
        word: Number of its word.
        span: Its characters in the word.
        probs: Of each label, `(labels,)`.
    """

    word: int
    span: Span
    probs: NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """A part of a text, its label, and the label's probability."""

    span: Span
    label: str
    score: float


class BlearnerForTokens(Blearner):
    """A `Blearner` that labels words.

    Args:
        labeling: Which tokens of a word had labels in training; predictions use these alone.
        args, options: As for `Blearner`.
    """

    def __init__(self, *args: Any, labeling: Labeling = "first", **options: Any) -> None:
        self.labeling = labeling
        super().__init__(*args, **options)

    def blurr_predict_tokens(self, items: Any, **options: Any) -> list[list[Result]]:
        """Find the entities of one item or many; see the function `blurr_predict_tokens`."""
        results: list[list[Result]] = self.predict(items, **options)
        return results

    @property
    def token_classification_report(self) -> str:
        """The scores of each type of entity in the last validation, as a table.

        Raises:
            InputError: There was no validation, or no metric of seqeval in it.
        """
        for metric in self.metrics:
            if isinstance(metric, StreamedMetric) and isinstance(metric.metric, Seqeval) and metric.metric.true:
                return metric.metric.report()
        raise InputError("There is no report yet: train or validate first, with a metric of seqeval.")


def blurr_predict_tokens(
    learn: Learner,
    items: Any,
    aggregation_strategy: Aggregation = "simple",
    *,
    labeling: Labeling = "first",
    non_entity_label: str = OUTSIDE,
    bs: int | None = None,
    slow_word_ids_func: Any = None,
) -> list[list[Result]]:
    """Find the entities of one item or many.

    Args:
        learn: A learner for token classification.
        items: A text, a tuple of words, or a dict with either under `tokens`; or a list, DataFrame, Series or Dataset
            of texts or lists of words. A single list of words must stand in a list: else its words are texts.
        aggregation_strategy: `token` returns each labelled token; `simple` joins neighbouring tokens of one entity; the
            others first choose one label per word: that of its `first` token, of its surest token (`max`), or of the
            `average` of its tokens.
        labeling: Which tokens of a word had labels in training; with `first`, the others are ignored.
        non_entity_label: The label of words outside entities, which are left out.
        bs: Rows in a batch.
        slow_word_ids_func: Changes nothing: the task has its own, see `TokenClassification`.

    Returns:
        A list of dicts per item: `entity_group` (`entity` for `token`), `score`, `word`, `start`, `end`. `word` is the
        text from `start` to `end`; the text of a list of words is the words joined by spaces.

    Raises:
        InputError: The aggregation strategy is unknown.
    """
    if aggregation_strategy not in get_args(Aggregation):
        raise InputError(
            f"aggregation_strategy={aggregation_strategy!r} is unknown; there are {list(get_args(Aggregation))}."
            f"{nearest(aggregation_strategy, get_args(Aggregation))}"
        )
    names = list(learn.dls.vocab)
    texts = [read_words(item) for item in as_items(items)]

    def step(x: Inputs) -> list[list[ScoredToken]]:
        return _scored_tokens(x, learn.model(x).logits.float().softmax(-1).cpu().numpy())

    windows = infer_windows(learn, [text.words for text in texts], step, bs=bs)
    results = []
    for text, parts in zip(texts, windows, strict=True):
        tokens = [token for part in parts for token in part]
        units = aggregate(tokens, text, names, strategy=aggregation_strategy, labeling=labeling)
        whole = aggregation_strategy != "token"
        results.append((_groups if whole else _each)(text, units, non_entity_label))
    return results


def _scored_tokens(x: Inputs, probs: NDArray[np.float32]) -> list[list[ScoredToken]]:
    """Return, for each window, the tokens of the words that it decides; `probs` is `(batch, sequence, labels)`."""
    numbers, starts, ends = (x[name].cpu().numpy() for name in ("word_numbers", "starts", "ends"))
    return [
        [
            ScoredToken(int(numbers[row, i]) - 1, (int(starts[row, i]), int(ends[row, i])), probs[row, i])
            for i in numbers[row].nonzero()[0]
        ]
        for row in range(len(probs))
    ]


def aggregate(
    tokens: Sequence[ScoredToken], text: Words, names: Sequence[str], *, strategy: Aggregation, labeling: Labeling
) -> list[Labelled]:
    """Label tokens (`token`, `simple`) or words, in text order; see `blurr_predict_tokens`."""
    units: list[Labelled] = []
    for word, group in groupby(tokens, key=lambda token: token.word):
        pieces, span = list(group), text.spans[word]
        if labeling == "first":
            units.append(_labelled(span, pieces[0].probs, names))  # later tokens have learnt nothing
        elif strategy in ("token", "simple"):
            parts = [(span[0] + piece.span[0], span[0] + piece.span[1]) for piece in pieces]
            first, *later = [_labelled(part, piece.probs, names) for part, piece in zip(parts, pieces, strict=True)]
            units += [first, *(later if strategy == "token" else map(_continued, later))]
        else:
            units.append(_labelled(span, _word_probs(pieces, strategy), names))
    return units


def _word_probs(pieces: Sequence[ScoredToken], strategy: Aggregation) -> NDArray[np.float32]:
    if strategy == "average":
        return np.asarray(np.mean([piece.probs for piece in pieces], axis=0))
    if strategy == "max":
        return max(pieces, key=lambda piece: float(piece.probs.max())).probs
    return pieces[0].probs


def _labelled(span: Span, probs: NDArray[np.float32], names: Sequence[str]) -> Labelled:
    best = int(probs.argmax())
    return Labelled(span, names[best], float(probs[best]))


def _continued(unit: Labelled) -> Labelled:
    """Put a later token of a word inside its entity: no entity begins in the middle of a word."""
    return Labelled(unit.span, inside_of(unit.label), unit.score)


def _each(text: Words, units: Sequence[Labelled], non_entity_label: str) -> list[Result]:
    return [
        {"entity": unit.label, **_place(text, unit.score, *unit.span)}
        for unit in units
        if unit.label != non_entity_label
    ]


def _groups(text: Words, units: Sequence[Labelled], non_entity_label: str) -> list[Result]:
    """Join neighbours of one entity, as the metrics do; the score is their mean."""
    labels = [OUTSIDE if unit.label == non_entity_label else unit.label for unit in units]
    groups = []
    for kind, first, last in entities(labels):
        score = float(np.mean([unit.score for unit in units[first : last + 1]]))
        groups.append({"entity_group": kind, **_place(text, score, units[first].span[0], units[last].span[1])})
    return groups


def _place(text: Words, score: float, start: int, end: int) -> Result:
    return {"score": score, "word": text.text[start:end], "start": start, "end": end}
