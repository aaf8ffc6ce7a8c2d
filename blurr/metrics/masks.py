"""Metrics of masks: how well the class of each pixel is predicted, by the pixels that classes have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from blurr.metrics.bootstrap import Draws, Numbers, ratio

TRUE, PREDICTED, BOTH = range(3)  # places in the counts of a row


def overlaps(predicted: torch.Tensor, true: torch.Tensor, classes: int) -> torch.Tensor:
    """Count the pixels of each class that are of it, that are predicted to be, and that are both.

    Pixels without a class, which have a negative one in `true`, count nowhere. The counts are the sums of rows and
    columns of a confusion matrix, and its diagonal.

    Args:
        predicted: Class ids `(batch, height, width)`.
        true: The same.
        classes: Number of classes.

    Returns:
        int64 `(batch, 3, classes)`: true, predicted, both.
    """
    batch, true, predicted = len(true), true.reshape(len(true), -1), predicted.reshape(len(true), -1)
    known, first = true >= 0, torch.arange(len(true), device=true.device)[:, None] * classes
    parts = [(true, known), (predicted, known), (true, known & (true == predicted))]
    counts = [torch.bincount((ids + first)[where], minlength=batch * classes) for ids, where in parts]
    return torch.stack([each.view(batch, classes) for each in counts], dim=1)


def iou_of(counts: Numbers) -> Numbers:
    """Return the intersection over union of each class, `(…, classes)`, NaN of one that is nowhere.

    Args:
        counts: See `overlaps`, `(…, 3, classes)`.
    """
    both = counts[..., BOTH, :]
    return ratio(both, counts[..., TRUE, :] + counts[..., PREDICTED, :] - both, empty=np.nan)


class _OfMasks:
    """Base of the metrics of masks; predictions and targets are class ids `(batch, height, width)`."""

    reads: ClassVar[str] = "masks"
    direction: ClassVar[str] = "maximize"

    def __init__(self) -> None:
        self.classes = 0
        self.reset()

    def name_classes(self, names: Sequence[str]) -> None:
        """Take the names of the classes, in the order of their ids."""
        self.classes = len(names)

    def reset(self) -> None:
        self.counts: list[NDArray[np.int64]] = []

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        self.counts.append(overlaps(predictions, targets, self.classes).cpu().numpy())

    def compute(self) -> float:
        return float(self.score(np.concatenate(self.counts).sum(0).astype(np.float64)))

    def resampled(self, draws: Draws) -> Numbers:
        """Return the value of each draw of pictures, `(draws,)`."""
        counts = np.concatenate(self.counts).astype(np.float64)
        sums = draws.streamed @ counts.reshape(len(counts), -1)
        return self.score(sums.reshape(-1, *counts.shape[1:]))

    @abstractmethod
    def score(self, counts: Numbers) -> Numbers:
        """Return the value, `(…)`, for counts `(…, 3, classes)`."""


class MeanIoU(_OfMasks):
    """Intersection over union of all pictures together, the mean of the classes that are in targets or predictions.

    Source: Everingham et al. 2015, The Pascal Visual Object Classes Challenge: A Retrospective
    (doi 10.1007/s11263-014-0733-5).
    """

    def score(self, counts: Numbers) -> Numbers:
        return _mean_of_known(iou_of(counts))


class Dice(_OfMasks):
    """Twice the intersection over the sum of both, of all pictures together; the mean over classes, as `MeanIoU`."""

    def score(self, counts: Numbers) -> Numbers:
        there = counts[..., TRUE, :] + counts[..., PREDICTED, :]
        return _mean_of_known(ratio(2 * counts[..., BOTH, :], there, empty=np.nan))


class PixelAccuracy(_OfMasks):
    """The share of the pixels whose class is right, of all pictures together."""

    def score(self, counts: Numbers) -> Numbers:
        return ratio(counts[..., BOTH, :].sum(-1), counts[..., TRUE, :].sum(-1), empty=np.nan)


def _mean_of_known(values: Numbers) -> Numbers:
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(-1), known.sum(-1), empty=np.nan)
