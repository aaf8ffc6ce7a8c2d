"""Metrics of language models over real target tokens, summed batch by batch so that no logits are kept."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from blurr.loading.rows import IGNORED
from blurr.metrics.bootstrap import Draws, Numbers, mean_of


class TokenScores(NamedTuple):
    """Predictions and losses at the real targets of a batch.

    Attributes:
        predicted: The likeliest token at each target, `(targets,)`.
        losses: The negative log likelihood of each target, `(targets,)`.
    """

    predicted: torch.Tensor
    losses: torch.Tensor


def score_tokens(logits: torch.Tensor, targets: torch.Tensor) -> tuple[TokenScores, torch.Tensor]:
    """Score a batch row by row, so that only one row's logits are copied at a time.

    Args:
        logits: `(batch, sequence, vocabulary)`, in line with the targets.
        targets: `(batch, sequence)`; -100 is not scored.

    Returns:
        The scores, and the real targets, `(targets,)`.
    """
    predicted, losses = [], []
    for row, ids in zip(logits.detach(), targets, strict=True):
        real = ids != IGNORED  # (sequence,)
        predicted.append(row[real].argmax(-1))  # (targets of the row,)
        losses.append(functional.cross_entropy(row[real].float(), ids[real], reduction="none"))
    return TokenScores(torch.cat(predicted), torch.cat(losses)), targets[targets != IGNORED]


class Perplexity:
    """Exponential of the mean negative log likelihood of the target tokens of the whole split.

    Every token weighs the same, which a mean of the batches' means would not achieve.
    """

    reads: ClassVar[str] = "tokens"
    direction: ClassVar[str] = "minimize"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.tokens = torch.zeros((), dtype=torch.float64), 0  # sums of millions of losses need 64 bits

    def update(self, predictions: TokenScores, targets: Any) -> None:
        self.total = self.total + predictions.losses.cpu().double().sum()
        self.tokens += len(predictions.losses)

    def compute(self) -> torch.Tensor:
        return (self.total / max(self.tokens, 1)).exp()

    def resampled(self, draws: Draws) -> Numbers:
        counts = np.array([row["target_count"] for row in draws.rows])
        means = [float(row["nll"]) / max(row["target_count"], 1) for row in draws.rows]
        return np.exp(mean_of(draws.counts, means, counts))


class TokenAccuracy:
    """Share of target tokens that the model finds likeliest."""

    reads: ClassVar[str] = "tokens"
    direction: ClassVar[str] = "maximize"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.right, self.tokens = 0, 0

    def update(self, predictions: TokenScores, targets: torch.Tensor) -> None:
        self.right += int((predictions.predicted == targets).sum())
        self.tokens += len(targets)

    def compute(self) -> float:
        return self.right / max(self.tokens, 1)

    def resampled(self, draws: Draws) -> Numbers:
        counts = np.array([row["target_count"] for row in draws.rows])
        shares = [row["right_count"] / max(row["target_count"], 1) for row in draws.rows]
        return mean_of(draws.counts, shares, counts)
