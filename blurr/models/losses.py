"""Losses that reuse the value the model computed, or compute it themselves."""

from typing import Any

import numpy as np
import torch
from fastai.learner import AvgLoss, Learner
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat

from blurr.loading.rows import IGNORED, EncodedRows


class PreCalculatedCrossEntropyLoss(CrossEntropyLossFlat):  # type: ignore[misc]  # fastai is not typed
    """Cross-entropy that the model computed; `BaseModelCallback` stores its value in `precalculated`.

    Without that value, or with `reduction="none"`, it is computed from the logits.
    """

    precalculated: Any = None

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        value: torch.Tensor = super().__call__(inp, targ, **kwargs) if _must_compute(self) else self.precalculated
        return value


class PreCalculatedBCELoss(BCEWithLogitsLossFlat):  # type: ignore[misc]
    """Binary cross-entropy that the model computed, for multi-label classification."""

    precalculated: Any = None

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        value: torch.Tensor = super().__call__(inp, targ, **kwargs) if _must_compute(self) else self.precalculated
        return value


class PreCalculatedMSELoss:
    """Mean squared error that the model computed, for regression.

    Args:
        reduction: `mean`, `sum` or `none`.
        axis: An argument of blurr 1.x that changes nothing, as `floatify`.
        floatify: See `axis`.
    """

    precalculated: Any = None

    def __init__(self, reduction: str = "mean", *, axis: int = -1, floatify: bool = True) -> None:
        self.func = MSELossFlat()
        self.reduction = reduction

    @property
    def reduction(self) -> str:
        return str(self.func.reduction)

    @reduction.setter
    def reduction(self, value: str) -> None:
        self.func.reduction = value

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.func(inp.float(), targ.float()) if _must_compute(self) else self.precalculated
        return value

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return the prediction, `(batch,)`, for logits `(batch, 1)`."""
        return out.squeeze(-1)

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return the prediction unchanged."""
        return out


class LossPerTarget(AvgLoss):  # type: ignore[misc]
    """The mean loss of a validation, every target weighted equally.

    fastai weights rows, which differs where rows have several targets, as in language models.
    """

    def accumulate(self, learn: Learner) -> None:
        targets = int((learn.y != IGNORED).sum())
        self.total += learn.to_detach(learn.loss.mean()).double() * targets
        self.count += targets


PRECALCULATED = (PreCalculatedCrossEntropyLoss, PreCalculatedBCELoss, PreCalculatedMSELoss)


def own_loss(rows: Any) -> Any:
    """Return the loss that takes the model's own value, of the kind that the targets of encoded rows ask for."""
    labels = rows.columns.get("labels") if isinstance(rows, EncodedRows) else None
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "f":
        return PreCalculatedBCELoss() if labels.ndim == 2 else PreCalculatedMSELoss()
    return PreCalculatedCrossEntropyLoss()


def _must_compute(loss: Any) -> bool:
    return loss.precalculated is None or loss.reduction != "mean"


def loss_per_row(loss_func: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of each row, `(batch,)`, averaged over its real targets where it has several.

    Args:
        loss_func: a fastai loss, or a torch loss module, with a `reduction` that can be set.
        logits: `(batch, …)`.
        targets: `(batch,)` or `(batch, n)`; -100 is left out.
    """
    before = loss_func.reduction
    loss_func.reduction = "none"
    try:
        values = loss_func(logits, targets)
    finally:
        loss_func.reduction = before
    values = values.reshape(len(targets), -1)
    real = (targets != IGNORED).reshape(len(targets), -1)
    if real.shape != values.shape:
        return torch.as_tensor(values.mean(1))
    return torch.as_tensor((values * real).sum(1) / real.sum(1).clamp(min=1))
