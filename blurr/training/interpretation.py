"""Predictions and losses of every row, gathered in a stream, and the rows with the largest losses."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from fastai import interpret
from fastai.callback.core import Callback
from fastai.interpret import plot_top_losses
from fastai.learner import Learner

from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL, ShownInputs, show_table
from blurr.loading.rows import Table
from blurr.loading.rows_on_disk import GrowingRows, room_for
from blurr.metrics.streamed import NamedMetric
from blurr.process.terminal import advance
from blurr.training.callbacks.base import ORDER
from blurr.training.shares import rows_at_first, shares_at_first

Interpreter = Callable[[Learner, RowsDL], Table]


# what is too long for a table
UNSHOWN = (
    *("probs", "others", "pixels", "small_true_mask", "small_predicted_mask", "boxes", "predicted_boxes"),
    *("alignment", "segments"),
)


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

    def plot_top_losses(self, k: int = 9, *, largest: bool = True) -> None:
        """Show the `k` rows with the largest (or smallest) losses as a table."""
        rows = self.top_losses(k, largest=largest)
        show_table([{name: value for name, value in row.items() if name not in UNSHOWN} for row in rows])

    def most_confused(self, min_val: int = 1) -> list[tuple[Any, Any, int]]:
        """Return `(target, prediction, count)` of wrong predictions that occur at least `min_val` times."""
        pairs = Counter((str(r["target"]), str(r["prediction"])) for r in self.rows if r["target"] != r["prediction"])
        return [(*pair, n) for pair, n in pairs.most_common() if n >= min_val]


class ClassificationInterpretation(interpret.ClassificationInterpretation):  # type: ignore[misc]
    """fastai's interpretation of classes: the confusion matrix, and a report on each class.

    Raises:
        InputError: the rows have no classes.
    """

    def __init__(self, learn: Learner, dl: RowsDL, losses: torch.Tensor, act: Any = None) -> None:
        if dl.vocab is None:
            raise InputError(
                "What this learner predicts has no classes, so no confusion matrix. Interpretation.from_learner shows "
                "the rows with the largest losses of every task."
            )
        super().__init__(learn, dl, losses, act)


class EvaluationCallback(Callback):  # type: ignore[misc]  # fastai is not typed
    """Decode each validation batch for the streaming metrics, and collect described rows if requested.

    Args:
        decode: `(learner) -> (predictions, targets)` of the batch that the learner has just run.
        describe: `(learner) -> table` of the batch's rows; `None` keeps no rows.
        completed: `(learner, decoded) -> decoded` as the metrics read it, in the first of several processes.
    """

    order = ORDER["EvaluationCallback"]

    def __init__(
        self,
        decode: Callable[[Learner], tuple[Any, Any]],
        describe: Callable[[Learner], Table] | None = None,
        *,
        completed: Callable[[Learner, Any], Any] = lambda _, decoded: decoded,
    ) -> None:
        self.decode, self.describe, self.completed = decode, describe, completed
        self.rows: GrowingRows = []

    def before_validate(self) -> None:
        self.rows = []
        if self.describe is not None and isinstance(self.learn.dl, RowsDL):
            self.rows = room_for(self.learn.dl.n)

    def after_batch(self) -> None:
        if self.learn.training:
            return
        advance(self.iter + 1, self.n_iter)
        learn = self.learn
        learn.decoded = self.decode(learn)
        learn.decoded_shares = [self.completed(learn, each) for each in shares_at_first(learn, learn.decoded)]
        if any(isinstance(metric, NamedMetric) for metric in learn.metrics):
            learn.output_shares = shares_at_first(learn, (learn.pred, learn.yb))
        if self.describe is not None:
            self.rows.extend(rows_at_first(learn, self.describe(learn)))


@plot_top_losses.dispatch  # type: ignore[untyped-decorator]  # plum is not typed
def plot_top_losses_of_rows(
    x: ShownInputs, y: Any, samples: Any, outs: Any, raws: Any, losses: Any, **options: Any
) -> None:
    """Show rows beside their predictions and losses, for fastai's `Interpretation.plot_top_losses`."""
    predictions = [out[0] for out in outs]
    stacked = torch.stack(predictions) if isinstance(predictions[0], torch.Tensor) else predictions
    table = x.dl.show_rows(x.dl, x, y, stacked)
    show_table([{**row, "loss": loss} for row, loss in zip(table, losses.tolist(), strict=True)])
