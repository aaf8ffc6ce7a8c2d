"""Predictions and losses of every row, gathered in a stream, and the rows with the largest losses."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastcore.basics import getcallable
from torch.nn.functional import pad

from blurr.loading.collate import PaddingCollator
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Table, in_order
from blurr.models.losses import loss_per_row
from blurr.training.callbacks.base import ORDER

Interpreter = Callable[[Learner, RowsDL], Table]


class Interpretation:
    """The rows of a split with their fields, target, prediction and loss, as fastai's `Interpretation` has them.

    Args:
        rows: a dict each, with `loss`, `target` and `prediction`.
    """

    def __init__(self, rows: Table) -> None:
        self.rows = rows

    @classmethod
    def from_learner(cls, learn: Learner, ds_idx: int = 1, dl: RowsDL | None = None) -> "Interpretation":
        """Run the model over a split: by its number in `learn.dls`, or by a loader such as `learn.dls.test_dl` makes.

        Only what a row needs is kept, never its logits.
        """
        chosen = learn.dls[ds_idx] if dl is None else dl
        return cls(learn.interpreter(learn, chosen.new(shuffle=False, drop_last=False)))

    def top_losses(self, k: int | None = None, *, largest: bool = True) -> Table:
        """Return the `k` rows with the largest (or smallest) losses, sorted; `None` returns all."""
        return sorted(self.rows, key=lambda row: row["loss"], reverse=largest)[:k]

    def most_confused(self, min_val: int = 1) -> list[tuple[Any, Any, int]]:
        """Return `(target, prediction, count)` of wrong predictions that occur at least `min_val` times."""
        pairs = Counter((str(r["target"]), str(r["prediction"])) for r in self.rows if r["target"] != r["prediction"])
        return [(*pair, n) for pair, n in pairs.most_common() if n >= min_val]


class EvaluationCallback(Callback):  # type: ignore[misc]  # fastai is not typed
    """Decode each validation batch for the streaming metrics, and collect described rows if requested.

    Args:
        decode: `(learner) -> (predictions, targets)` of the batch that the learner has just run.
        describe: `(learner) -> table` of the batch's rows; `None` keeps no rows.
    """

    order = ORDER["EvaluationCallback"]

    def __init__(
        self,
        decode: Callable[[Learner], tuple[Any, Any]],
        describe: Callable[[Learner], Table] | None = None,
    ) -> None:
        self.decode, self.describe = decode, describe
        self.rows: Table = []

    def before_validate(self) -> None:
        self.rows = []

    def after_batch(self) -> None:
        if self.training:
            return
        self.learn.decoded = self.decode(self.learn)
        if self.describe is not None:
            self.rows += self.describe(self.learn)


class Shown(Callback):  # type: ignore[misc]
    """Keep, of each batch, its rows as `show_results` shows them, and their losses."""

    def before_validate(self) -> None:
        self.rows: Table = []

    def after_batch(self) -> None:
        inputs = {k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in self.xb[0].items()}
        predicted = decoded(self.learn, self.pred.detach().cpu())
        losses = loss_per_row(self.loss_func, self.pred, self.y).tolist()
        table = self.dl.show_rows(self.dl, inputs, self.y.cpu(), predicted)
        self.rows += [{**row, "loss": loss} for row, loss in zip(table, losses, strict=True)]


def interpret_shown(learn: Learner, dl: RowsDL) -> Table:
    """Describe each row of a loader as `show_results` shows it, for loaders without a task."""
    shown = Shown()
    with learn.no_bar():
        learn.validate(dl=dl, cbs=shown)
    return in_order(dl.get_idxs(), shown.rows)


def decoded(learn: Learner, logits: torch.Tensor) -> Any:
    """Return the classes that logits stand for, in the form of the targets, by the loss's activation and decodes."""
    return getcallable(learn.loss_func, "decodes")(getcallable(learn.loss_func, "activation")(logits))


# -- all predictions


class Gather(Callback):  # type: ignore[misc]
    """Keep inputs, predictions, targets and losses of all batches."""

    def before_validate(self) -> None:
        self.batches: list[tuple[Any, ...]] = []

    def after_batch(self) -> None:
        nothing = self.pred.new_empty(len(self.pred), 0)
        losses = loss_per_row(self.loss_func, self.pred, *self.yb) if self.yb else nothing
        targets = self.yb[0] if self.yb else nothing
        self.batches.append(self.learn.to_detach((dict(self.xb[0]), self.pred, targets, losses)))


def gather(learn: Learner, dl: Any) -> tuple[Any, ...]:
    """Run a model over a loader, and return its outputs in the order of the rows.

    Args:
        learn: its model and loss are used.
        dl: a `RowsDL`, or a list of batches.

    Returns:
        Inputs (a dict), predictions, targets and losses `(rows,)`. Tensors whose width differs between batches are
        padded on the right: targets by -100, inputs as their collator does, all else by 0.
    """
    dl = dl.in_one_order() if isinstance(dl, RowsDL) else dl
    collected, metrics, learn.metrics = Gather(), learn.metrics, []
    try:
        with learn.removed_cbs(learn._grab_cbs(EvaluationCallback)), learn.no_bar():  # which may generate texts
            learn.validate(dl=dl, cbs=collected)
    finally:
        learn.metrics = metrics
    order = dl.get_idxs() if isinstance(dl, RowsDL) else None
    inputs, predictions, targets, losses = zip(*collected.batches, strict=True)
    pads = dl.create_batch.pad_values if isinstance(dl, RowsDL) and isinstance(dl.create_batch, PaddingCollator) else {}
    named = {name: [batch[name] for batch in inputs] for name in inputs[0]}
    joined = {name: _joined(values, pads.get(name, 0)) for name, values in named.items()}
    back = slice(None) if order is None else torch.tensor(order).argsort()
    tensors = (_joined(predictions), _joined(targets, IGNORED), _joined(losses))
    return {k: v[back] if torch.is_tensor(v) else v for k, v in joined.items()}, *(t[back] for t in tensors)


def _joined(parts: Sequence[Any], value: float = 0) -> Any:
    """Concatenate batches, the second dimension padded to the longest."""
    if not isinstance(parts[0], torch.Tensor):
        return [row for part in parts for row in part]
    if parts[0].ndim < 2:
        return torch.cat(list(parts))
    width = max(part.shape[1] for part in parts)
    rest = [0, 0] * (parts[0].ndim - 2)
    return torch.cat([pad(part, [*rest, 0, width - part.shape[1]], value=value) for part in parts])


def predictions_of(
    learn: Learner,
    dl: Any,
    *,
    with_input: bool = False,
    with_decoded: bool = False,
    with_loss: bool = False,
    act: Callable[[torch.Tensor], Any] | None = None,
) -> tuple[Any, ...]:
    """Return what fastai's `get_preds` returns, in its order; see `Blearner.get_preds`."""
    inputs, logits, targets, losses = gather(learn, dl)
    activation = getcallable(learn.loss_func, "activation") if act is None else act
    given: Mapping[str, Any] = {
        "input": inputs if with_input else None,
        "predictions": activation(logits),
        "targets": targets,
        "decoded": decoded(learn, logits) if with_decoded else None,
        "losses": losses if with_loss else None,
    }
    return tuple(value for value in given.values() if value is not None)
