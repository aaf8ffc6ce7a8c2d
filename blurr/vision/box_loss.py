"""The loss of boxes, which models compute themselves, for each batch of training and each row of an evaluation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from blurr.loading.rows import IGNORED
from blurr.models.losses import base_loss
from blurr.training.learner import BaseModelCallback
from blurr.vision.box_batches import LABELS, as_lists


def shares_of(logits: torch.Tensor, classes: int) -> torch.Tensor:
    """Return the score of each class for each query, `(batch, queries, classes)`.

    Args:
        logits: `(batch, queries, outputs)`; one output more than classes stands for nothing.
        classes: Number of classes.
    """
    if logits.shape[-1] > classes:
        return logits.softmax(-1)[..., :classes]
    return logits.sigmoid()


class DetectionLoss:
    """The loss that a model for boxes has computed itself; `DetectionCallback` leaves it here.

    In training it is that of the batch, as the model normalizes it. Else it is the mean of the losses of the rows, each
    computed as if the row was a batch: so it does not depend on which rows stand together.

    Args:
        classes: Number of classes.

    Attributes:
        precalculated: The loss of the batch.
        call: The call of the model's loss function, outside of training.
        reduction: `mean` or `none`.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reduction = "mean"
        self.precalculated: torch.Tensor | None = None
        self.call: LossCall | None = None

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        if self.call is None:
            return torch.as_tensor(self.precalculated)
        values = self.call.of_rows(len(targ))
        return values if self.reduction == "none" else values.mean()

    def count(self, targ: torch.Tensor) -> int:
        """Return how much the loss of a batch counts among others: as many as it has rows, without objects or with."""
        return len(targ)

    least_divisor = 1.0  # in a batch without an object, too

    def divisor(self, targ: torch.Tensor) -> torch.Tensor:
        """Return what the loss of a batch divides by: its objects in training, else its rows."""
        if self.call is not None:
            return torch.tensor(float(len(targ)), device=targ.device)
        return (targ[..., 0] != IGNORED).sum().float()

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return the score of each class for each query, `(batch, queries, classes)`."""
        return shares_of(out, self.classes)

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return the likeliest class of each query, `(batch, queries)`."""
        return out.argmax(-1)


class LossCall:
    """Call a model's loss function, and keep what it was called with, to call it again for each row.

    Args:
        function: Takes logits `(batch, queries, outputs)`, labels, device, boxes and more, returns the loss first.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.args: Sequence[Any] = ()
        self.options: Mapping[str, Any] = {}
        self.values: torch.Tensor | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.args, self.options = args, options
        return self.function(*args, **options)

    def of_rows(self, rows: int) -> torch.Tensor:
        """Return the loss of each row, `(rows,)`, computed once."""
        if self.values is None:
            losses = [torch.as_tensor(self._of_row(row)).float() for row in range(rows)]
            self.values = torch.stack(losses)
        return self.values

    def _of_row(self, row: int) -> Any:
        options = {name: self._part(value, row) for name, value in self.options.items()}
        return self.function(*(self._part(value, row) for value in self.args), **options)[0]

    def _part(self, value: Any, row: int) -> Any:
        """Return what a row has of an argument of the batch."""
        if isinstance(value, list):  # labels
            return value[row : row + 1]
        if not isinstance(value, torch.Tensor) or not value.ndim:
            return value
        if value.ndim == 4 and self._is_by_layer(value):
            return value[:, row : row + 1]
        return value[row : row + 1]

    def _is_by_layer(self, value: torch.Tensor) -> bool:
        """Say whether the first dimension of `(layers, batch, …)` is that of layers, else it is the second."""
        logits, boxes = self.args[0], self.args[3]
        if len(logits) not in value.shape[:2]:
            return False
        if value.shape[0] != value.shape[1]:
            return value.shape[1] == len(logits)
        # as many layers as rows: the last layer is what the model has answered
        return any(
            value[-1].shape == each.shape and torch.allclose(value[-1], each, atol=1e-4) for each in (logits, boxes)
        )


class DetectionCallback(BaseModelCallback):
    """Hand a model for boxes its labels as lists, and take its loss."""

    def before_batch(self) -> None:
        super().before_batch()
        learn, model = self.learn, self.learn.model.hf_model
        x = self.xb[0]
        self.targets: torch.Tensor | None = x.get(LABELS, self.yb[0] if self.yb else None)
        if self.targets is None:
            return
        learn.xb = ({**x, LABELS: as_lists(self.targets)},)
        plain = model.loss_function.function if isinstance(model.loss_function, LossCall) else model.loss_function
        model.loss_function = plain if learn.training else LossCall(plain)

    def after_pred(self) -> None:
        learn, model = self.learn, self.learn.model.hf_model
        loss, output = base_loss(learn.loss_func), learn.pred
        super().after_pred()
        if self.targets is None:
            return
        learn.xb = ({**self.xb[0], LABELS: self.targets},)
        if isinstance(loss, DetectionLoss):
            call = model.loss_function
            loss.precalculated = output["loss"].float()
            loss.call = call if isinstance(call, LossCall) else None
            model.loss_function = call.function if isinstance(call, LossCall) else call
