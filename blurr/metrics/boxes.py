"""Metrics of boxes: how well objects are found, as COCO counts it: average precision and recall over overlaps."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blurr.config.annotations import OpenFraction
from blurr.errors import InputError
from blurr.metrics.bootstrap import SAMPLES, Draws, Numbers, ratio

OVERLAPS: Numbers = np.linspace(0.5, 0.95, 10)  # intersections over union from which a box is found
RECALLS: Numbers = np.linspace(0, 1, 101)  # at which precision is taken
MOST = 100  # objects of a class in a picture that count, those of the highest scores
MOST_DRAWN = 200_000_000  # objects times draws: beyond, an interval takes minutes, and there is none
TINY = 1e-10

Objects = Mapping[str, Any]
"""The objects of a picture: `labels` and maybe `scores` `(objects,)`, and `boxes` `(objects, 4)`, corners."""


class Matches(NamedTuple):
    """How the objects that were found in pictures match those that are there.

    Attributes:
        pictures: Number of the picture of each that was found, `(found,)`.
        labels: Its class, `(found,)`.
        scores: Its score, `(found,)`.
        hits: Whether it is right, for each of `OVERLAPS`, `(found, 10)`.
        true: Picture and class of each object that is there, `(objects, 2)`.
        size: Number of pictures.
    """

    pictures: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: Numbers
    hits: NDArray[np.bool_]
    true: NDArray[np.int64]
    size: int


class Detected(list[Objects]):
    """What a model finds in each picture of a batch; the metrics of a batch share how it matches what is there."""

    _last: tuple[Sequence[Objects], Matches] | None = None

    def matches(self, true: Sequence[Objects]) -> Matches:
        """Return how the objects match those that are there, computed once."""
        if self._last is None or self._last[0] is not true:
            self._last = true, matched(self, true)
        return self._last[1]


def matched(found: Sequence[Objects], true: Sequence[Objects]) -> Matches:
    """Match the objects of pictures: those of the highest score first, each with the free one that it overlaps most.

    Source: the evaluation of COCO, Lin et al. 2014, arXiv:1405.0312, without crowds.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    there = [np.zeros((0, 2), dtype=np.int64)]
    for number, (one, other) in enumerate(zip(found, true, strict=True)):
        of_found, of_true = np.asarray(one["labels"]), np.asarray(other["labels"])
        given, boxes = np.asarray(one["scores"], dtype=np.float64), np.asarray(one["boxes"]).reshape(-1, 4)
        real = np.asarray(other["boxes"]).reshape(-1, 4)
        there.append(np.stack([np.full(len(of_true), number), of_true.astype(np.int64)], axis=1))
        for label in np.unique(of_found):
            chosen = np.flatnonzero(of_found == label)
            chosen = chosen[np.argsort(-given[chosen], kind="stable")[:MOST]]
            right = _hits(overlap(boxes[chosen], real[of_true == label]))
            parts.append((np.full(len(chosen), number), of_found[chosen], given[chosen], right))
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, len(OVERLAPS)), bool))
    pictures, labels, scores, hits = (np.concatenate(each) for each in zip(empty, *parts, strict=True))
    return Matches(pictures, labels, scores, hits, np.concatenate(there), len(found))


def overlap(one: NDArray[Any], other: NDArray[Any]) -> Numbers:
    """Return the intersection over union of each of the first boxes with each of the others, `(first, others)`."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = (high - low).clip(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, other)]
    return ratio(both, areas[0][:, None] + areas[1][None] - both)


def _hits(overlaps: Numbers) -> NDArray[np.bool_]:
    """Return whether each object is right, `(found, 10)`, by overlaps `(found, objects)`, the best score first."""
    hits = np.zeros((len(overlaps), len(OVERLAPS)), dtype=bool)
    if not overlaps.shape[1]:
        return hits
    least = np.minimum(OVERLAPS, 1 - TINY)
    free = np.ones((len(OVERLAPS), overlaps.shape[1]), dtype=bool)
    for row in np.flatnonzero(overlaps.max(1) >= least[0]):
        of_free = np.where(free, overlaps[row], -1.0)
        best = of_free.shape[1] - 1 - of_free[:, ::-1].argmax(1)  # of equals the last, as COCO takes it
        hits[row] = of_free[np.arange(len(least)), best] >= least
        free[hits[row], best[hits[row]]] = False
    return hits


class Curve(NamedTuple):
    """Average precision and recall of a class, each `(draws, overlaps)`; NaN where it has no object."""

    precision: Numbers
    recall: Numbers


def curve(hits: NDArray[np.bool_], weights: Numbers, objects: Numbers) -> Curve:
    """Return average precision and recall of a class in draws of pictures.

    Args:
        hits: Of what was found, the best score first, `(found, overlaps)`.
        weights: How often each is drawn, `(draws, found)`.
        objects: How many there are in each draw, `(draws,)`.
    """
    draws, seen = len(weights), weights.cumsum(1)
    made = np.full((2, draws, hits.shape[1]), np.nan)
    there = objects > 0
    for number in range(hits.shape[1]):
        places = np.flatnonzero(hits[:, number])
        right = weights[:, places].cumsum(1)
        precision = ratio(right, seen[:, places])
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = ratio(right, objects[:, None])
        made[0, there, number] = _mean_at_recalls(best, recall)[there]
        made[1, there, number] = recall[there, -1] if len(places) else 0.0
    return Curve(made[0], made[1])


def _mean_at_recalls(precision: Numbers, recall: Numbers) -> Numbers:
    """Return the mean precision at `RECALLS`, 0 where recall is never as high, `(draws,)`; both `(draws, found)`."""
    draws, found = recall.shape
    if not found:
        return np.zeros(draws)
    places = np.stack([np.searchsorted(each, RECALLS, side="left") for each in recall])
    padded = np.concatenate([precision, np.zeros((draws, 1))], axis=1)
    at_recalls: Numbers = np.take_along_axis(padded, places, axis=1).mean(1)
    return at_recalls


def joined(parts: Sequence[Matches]) -> Matches:
    """Put the matches of batches together, their pictures numbered through."""
    firsts = np.cumsum([0, *(part.size for part in parts)])
    pictures = [part.pictures + first for part, first in zip(parts, firsts, strict=False)]
    true = [part.true + np.array([[first, 0]]) for part, first in zip(parts, firsts, strict=False)]
    labels, scores, hits = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
    return Matches(np.concatenate(pictures), labels, scores, hits, np.concatenate(true), int(firsts[-1]))


def curves(matches: Matches, counts: Numbers | None = None) -> dict[int, Curve]:
    """Return average precision and recall of each class that has an object.

    Args:
        matches: Of all pictures.
        counts: How often each picture is drawn, `(draws, pictures)`; None takes each once.
    """
    counts = np.ones((1, matches.size)) if counts is None else counts
    made = {}
    for label in np.unique(matches.true[:, 1]).tolist():
        chosen = np.flatnonzero(matches.labels == label)
        chosen = chosen[np.argsort(-matches.scores[chosen], kind="stable")]
        objects = counts @ np.bincount(matches.true[matches.true[:, 1] == label, 0], minlength=matches.size)
        made[label] = curve(matches.hits[chosen], counts[:, matches.pictures[chosen]], objects)
    return made


class _OfBoxes:
    """Base of the metrics of boxes; predictions and targets are `Objects` of pictures.

    Args:
        overlap: Intersection over union from which a box is found; None takes the mean over 0.5, 0.55 to 0.95.
    """

    reads: ClassVar[str] = "boxes"
    direction: ClassVar[str] = "maximize"

    def __init__(self, overlap: OpenFraction | None = None) -> None:
        asked = OVERLAPS if overlap is None else [overlap]
        self.places = [place for place, each in enumerate(OVERLAPS) if np.isclose(each, asked).any()]
        if not self.places:
            raise InputError(f"overlap={overlap}: it is one of {', '.join(f'{x:.2f}' for x in OVERLAPS)}.")
        self.reset()

    def reset(self) -> None:
        self.parts: list[Matches] = []

    def update(self, predictions: Sequence[Objects], targets: Sequence[Objects]) -> None:
        found = predictions if isinstance(predictions, Detected) else Detected(predictions)
        self.parts.append(found.matches(targets))

    def compute(self) -> float:
        return float(self._mean(curves(joined(self.parts)), 1)[0])

    def resampled(self, draws: Draws) -> Numbers:
        """Return the value of each draw of pictures, `(draws,)`; NaN where all draws together would take too long."""
        matches = joined(self.parts)
        if len(matches.scores) * SAMPLES > MOST_DRAWN:
            return np.full(len(draws.counts), np.nan)
        return self._mean(curves(matches, draws.streamed), len(draws.counts))

    def _mean(self, found: Mapping[int, Curve], draws: int) -> Numbers:
        """Return the mean over the classes that have an object, and over overlaps, `(draws,)`."""
        if not found:
            return np.full(draws, np.nan)
        values = np.stack([self.value(each)[:, self.places].mean(1) for each in found.values()])
        known = np.isfinite(values)
        return ratio(np.where(known, values, 0).sum(0), known.sum(0).astype(np.float64), empty=np.nan)

    @abstractmethod
    def value(self, of_class: Curve) -> Numbers:
        """Return the value of a class, `(draws, overlaps)`."""


class MeanAveragePrecision(_OfBoxes):
    """Area under the curve of precision over recall, the mean over classes and overlaps: COCO's mAP."""

    def value(self, of_class: Curve) -> Numbers:
        return of_class.precision


class MeanAverageRecall(_OfBoxes):
    """The largest share of the objects that is found, the mean over classes and overlaps: COCO's AR for 100 objects."""

    def value(self, of_class: Curve) -> Numbers:
        return of_class.recall
