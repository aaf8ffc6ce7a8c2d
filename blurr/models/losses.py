"""Losses that reuse the value the model computed, or compute it themselves."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import AvgLoss, Learner
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat

from blurr.errors import InputError
from blurr.loading.rows import IGNORED, ROW_WEIGHT, EncodedRows


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


class Reduced:
    """Has the `reduction` of the loss that it stands around, `func`."""

    func: Any

    @property
    def reduction(self) -> str:
        return str(self.func.reduction)

    @reduction.setter
    def reduction(self, value: str) -> None:
        self.func.reduction = value


class PreCalculatedMSELoss(Reduced):
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

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.func(inp.float(), targ.float()) if _must_compute(self) else self.precalculated
        return value

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return the prediction, `(batch,)`, for logits `(batch, 1)`."""
        return out.squeeze(-1)

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return the prediction unchanged."""
        return out


@runtime_checkable
class Reduces(Protocol):
    """A loss that can leave its values as they are: `reduction` is `mean`, `sum` or `none`."""

    reduction: str


class CustomLoss:
    """A loss of fastai, torch or the user's own in place of the task's: a function of predictions and targets.

    It is called with the real targets alone: class ids `(targets,)` with logits `(targets, classes)`, 0 or 1 for each
    label with logits `(batch, labels)`, or numbers `(batch,)` with predictions `(batch,)`.

    Args:
        func: returns one number, the mean; with a `reduction` that can be `none`, a value for each target as well.
            Without one, the loss of each row is computed by a call for each row.
        like: the task's own loss, which turns logits into predictions.
        axis: of the logits, holds the classes.
    """

    def __init__(self, func: Callable[..., torch.Tensor], like: Any, axis: int = -1) -> None:
        self.func, self.like, self.axis = func, like, axis
        self.reduction = "mean"

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        if targ.is_floating_point():
            real, inp, targ = torch.ones_like(targ, dtype=torch.bool), inp.float().reshape(targ.shape), targ.float()
        else:
            real, inp = targ != IGNORED, inp.movedim(self.axis, -1)
        if self.reduction == "none":
            return self._each(inp, targ, real)
        if not real.any():
            return inp.sum() * 0
        value = self._of_real(inp, targ, real)
        if not isinstance(value, torch.Tensor) or value.ndim:
            shape = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(f"task.loss must return one number, the mean; it returned {shape}. Reduce it to its mean.")
        return value

    def _of_real(self, inp: torch.Tensor, targ: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return self.func(inp, targ) if targ.is_floating_point() else self.func(inp[real], targ[real])

    def _each(self, inp: torch.Tensor, targ: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return a value for each target, of the targets' shape, 0 where there is none; or one for each row."""
        if not isinstance(self.func, Reduces):
            nothing = inp.sum() * 0
            rows = zip(inp, targ, real, strict=True)
            return torch.stack(
                [self._of_real(x[None], y[None], is_real[None]) if is_real.any() else nothing for x, y, is_real in rows]
            )
        before, self.func.reduction = self.func.reduction, "none"
        try:
            values = self._of_real(inp, targ, real)
        finally:
            self.func.reduction = before
        return values if targ.is_floating_point() else inp.new_zeros(targ.shape).masked_scatter(real, values)

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return probabilities, or numbers, as the task's own loss does."""
        return torch.as_tensor(self.like.activation(out))

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return predictions, as the task's own loss does."""
        return torch.as_tensor(self.like.decodes(out))


class RowWeightedLoss(Reduced):
    """The mean of a loss over rows, each counted by its weight; the mean of all targets where no weights are set.

    Args:
        func: the loss.

    Attributes:
        weights: of the rows of the batch, `(batch,)`; set by `WeighRows` while training.
    """

    def __init__(self, func: Any) -> None:
        self.func = func
        self.weights: torch.Tensor | None = None

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        if self.weights is None or self.reduction == "none":
            return torch.as_tensor(self.func(inp, targ))
        weights = self.weights.float()
        return (loss_per_row(self.func, inp, targ) * weights).sum() / weights.sum().clamp(min=torch.finfo().tiny)

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return what the loss makes of logits."""
        return torch.as_tensor(self.func.activation(out))

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return predictions, as the loss does."""
        return torch.as_tensor(self.func.decodes(out))


class MixedLoss(Reduced):
    """The loss of a batch whose rows are mixed in pairs: the mean of the losses of both targets, by their shares.

    Args:
        func: The loss of rows as they are.

    Attributes:
        partners: Numbers of the rows that each row of the batch is mixed with, `(batch,)`; None leaves the loss alone.
        share: Of each row's own target in its loss; the partner's has the rest.
        others: Targets of the partners, and their weights where rows have some; None where these stand in the batch
            itself, and not in that of another process.
        factor: What the loss of the partners is multiplied by, where their targets count otherwise than the rows' own.
    """

    def __init__(self, func: Any) -> None:
        self.func = func
        self.partners: torch.Tensor | None = None
        self.share: torch.Tensor | None = None
        self.others: tuple[torch.Tensor, torch.Tensor | None] | None = None
        self.factor = 1.0

    @property
    def weights(self) -> torch.Tensor | None:
        """Weights of the rows, where the loss has some."""
        weights: torch.Tensor | None = self.func.weights
        return weights

    @weights.setter
    def weights(self, value: torch.Tensor | None) -> None:
        self.func.weights = value

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        own = torch.as_tensor(self.func(inp, targ))
        if self.partners is None or self.share is None:
            return own
        return torch.lerp(self._of_partners(inp, targ, self.partners), own, self.share.to(own.dtype))

    def _of_partners(self, inp: torch.Tensor, targ: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
        targets, weights = self.of_partners(targ, partners)
        if not isinstance(self.func, RowWeightedLoss) or self.func.weights is None:
            return torch.as_tensor(self.func(inp, targets)) * self.factor
        before, self.func.weights = self.func.weights, weights
        try:
            return self.func(inp, targets) * self.factor
        finally:
            self.func.weights = before

    def of_partners(self, targ: torch.Tensor, partners: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the targets of the partners, and their weights, as a weight is of its target."""
        if self.others is not None:
            return self.others
        weights = self.func.weights if isinstance(self.func, RowWeightedLoss) else None
        return targ[partners], None if weights is None else weights[partners]

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return what the loss makes of logits."""
        return torch.as_tensor(self.func.activation(out))

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return predictions, as the loss does."""
        return torch.as_tensor(self.func.decodes(out))


class WeighRows(Callback):  # type: ignore[misc]
    """Gives a `RowWeightedLoss` the weights of the rows of each training batch."""

    def before_batch(self) -> None:
        self.learn.loss_func.weights = self.xb[0].get(ROW_WEIGHT) if self.training else None

    def after_fit(self) -> None:
        self.learn.loss_func.weights = None


def base_loss(loss_func: Any) -> Any:
    """Return the loss of blurr or fastai that says how logits become predictions, whatever stands around it."""
    while isinstance(loss_func, CustomLoss | RowWeightedLoss | MixedLoss):
        loss_func = loss_func.like if isinstance(loss_func, CustomLoss) else loss_func.func
    return loss_func


@runtime_checkable
class Counting(Protocol):
    """A loss that says how much the loss of a batch counts among others."""

    def count(self, targ: torch.Tensor) -> int: ...


@runtime_checkable
class Dividing(Protocol):
    """A loss that says what its mean over a training batch divides by, where that is not the number of targets.

    Attributes:
        least_divisor: The mean divides by no less, whatever the batch.
    """

    least_divisor: float

    def divisor(self, targ: torch.Tensor) -> torch.Tensor: ...


def least_divisor(loss_func: Any) -> float:
    """Return the least number that a mean loss divides by; 0 where a mean over nothing is none."""
    loss = base_loss(loss_func)
    return loss.least_divisor if isinstance(loss, Dividing) else 0.0


class LossPerTarget(AvgLoss):  # type: ignore[misc]
    """The mean loss of a validation, every target weighted equally, unless the loss counts otherwise.

    fastai weights rows, which differs where rows have several targets, as in language models. The tokens of a row are
    one target to CTC.
    """

    def accumulate(self, learn: Learner) -> None:
        targets = self.targets_of(learn)
        self.total += learn.to_detach(learn.loss.mean()).double() * targets
        self.count += targets

    def targets_of(self, learn: Learner) -> float:
        """Return how much the loss of the batch counts."""
        return count_in_validation(learn.loss_func, learn.y)


def count_in_validation(loss_func: Any, targets: torch.Tensor) -> int:
    """Return how much the loss of a batch counts among others."""
    loss = base_loss(loss_func)
    return loss.count(targets) if isinstance(loss, Counting) else int((targets != IGNORED).sum())


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
