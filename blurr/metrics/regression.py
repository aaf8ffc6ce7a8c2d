"""Regression metrics: correlations and errors, computed in 64 bits whatever the model computes in."""

from typing import ClassVar

import numpy as np
import torch

from blurr.errors import InputError
from blurr.metrics.bootstrap import Draws, Numbers, ratio
from blurr.metrics.classification import Gathered


class _Numbers(Gathered):
    """Base of the regression metrics; predictions are `(batch, 1)` or `(batch,)`, targets `(batch,)`."""

    reads: ClassVar[str] = "numbers"

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        super().update(predictions, targets)
        if not targets.is_floating_point() or predictions.shape[-1] != 1 and predictions.ndim == 2:
            raise InputError(
                f"{type(self).__name__.lower()} is a metric for numbers, but the targets are classes. "
                "Choose metrics=[accuracy,f1], or set task.kind=regression."
            )
        self.predicted.append(predictions.double().reshape(-1).cpu())
        self.true.append(targets.double().reshape(-1).cpu())


class _Correlation(_Numbers):
    """Base of the correlations, which are 0, with a note, if all predictions or all targets are equal."""

    direction: ClassVar[str] = "maximize"

    def note(self) -> str | None:
        """Return why there is no correlation; None if there is one."""
        for what, values in zip(("predictions", "targets"), self.seen(), strict=True):
            if _is_constant(values):
                return f"0, because all {what} are equal and correlate with nothing"
        return None

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        if _is_constant(predicted) or _is_constant(true):
            return torch.zeros((), dtype=torch.float64)
        return self.correlation(predicted, true)

    def correlation(self, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Return the correlation of numbers that differ."""
        raise NotImplementedError


class Pearson(_Correlation):
    """Pearson correlation of predicted and true numbers."""

    def resampled(self, draws: Draws) -> Numbers:
        return _correlations(draws.streamed, *(each.numpy()[None] for each in self.seen()))

    def correlation(self, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return _pearson(predicted, true)


class Spearman(_Correlation):
    """Spearman rank correlation of predicted and true numbers; equal numbers share the mean of their ranks."""

    def correlation(self, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return _pearson(_ranks(predicted), _ranks(true))

    def resampled(self, draws: Draws) -> Numbers:
        return _correlations(draws.streamed, *(_ranks_in(draws.streamed, each.numpy()) for each in self.seen()))


class RMSE(_Numbers):
    """Root of the mean squared error."""

    direction: ClassVar[str] = "minimize"

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        errors = predicted - true
        return ((errors * errors).sum() / len(errors)).sqrt()

    def resampled(self, draws: Draws) -> Numbers:
        predicted, true = self.seen()
        return np.sqrt(draws.means((predicted - true) ** 2))


def _correlations(counts: Numbers, one: Numbers, other: Numbers) -> Numbers:
    """Return the Pearson correlation in each draw; 0 where all numbers of a side are equal.

    Args:
        counts: how often each pair is drawn, `(draws, pairs)`.
        one: the numbers of one side, `(draws, pairs)`, or `(1, pairs)` for all draws.
        other: those of the other side.
    """
    total, there = counts.sum(1, keepdims=True), counts > 0
    varies = [np.where(there, each, -np.inf).max(1) > np.where(there, each, np.inf).min(1) for each in (one, other)]
    one, other = (each - (counts * each).sum(1, keepdims=True) / total for each in (one, other))
    spread = np.sqrt((counts * one**2).sum(1)) * np.sqrt((counts * other**2).sum(1))
    return ratio((counts * one * other).sum(1), spread * varies[0] * varies[1]).clip(-1, 1)


def _ranks_in(counts: Numbers, values: Numbers) -> Numbers:
    """Return the rank of each number in each draw, `(draws, pairs)`; equal numbers share the mean of their ranks."""
    distinct, place = np.unique(values, return_inverse=True)
    groups = np.zeros((len(counts), len(distinct)))
    np.add.at(groups.T, place, counts.T)  # how often each distinct number is drawn
    return (groups.cumsum(1) - (groups - 1) / 2)[:, place]


def _is_constant(values: torch.Tensor) -> bool:
    return bool((values == values[0]).all())


def _pearson(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Correlate numbers in 64 bits; scaled first, as SciPy does, so that large ones do not overflow."""
    one, other = one - one.mean(), other - other.mean()
    return torch.dot(one / torch.linalg.norm(one), other / torch.linalg.norm(other)).clamp(-1, 1)


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Rank numbers from 1. torchmetrics' Spearman adds 1e-6 to a denominator, so that its result differs."""
    _, place, counts = np.unique(values.numpy(), return_inverse=True, return_counts=True)
    return torch.from_numpy((counts.cumsum() - (counts - 1) / 2)[place])
