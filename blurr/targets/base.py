"""The contract of a target: what a task learns to give, whatever it reads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat

from blurr.data.core import RawData
from blurr.data.labels import LabelOptions
from blurr.data.roles import beside
from blurr.errors import InputError
from blurr.loading.rows import EncodedRows, Table, by_row
from blurr.loading.rows_on_disk import Rows
from blurr.metrics.base import Scored
from blurr.models.losses import CustomLoss
from blurr.models.objects import HFObjects

Loss = Literal["auto", "model", "cross_entropy"] | Callable[..., torch.Tensor]
"""The model's own loss, fastai's, or any other that takes predictions and targets, see `CustomLoss`."""


def weighted_cross_entropy(
    loss: Loss, weights: torch.Tensor | None, label_smoothing: float
) -> CrossEntropyLossFlat | CustomLoss | None:
    """Return the loss that `task.loss` asks for; `None` stands for the model's own.

    Args:
        loss: `auto` is the model's own unless class weights or label smoothing are requested.
        weights: Of the classes, `(classes,)`.
        label_smoothing: From 0 to 1.

    Raises:
        InputError: the model's own loss, or one of the user's, is requested together with what it cannot do.
    """
    if callable(loss):
        check_alone(weights is not None, label_smoothing)
        return CustomLoss(loss, CrossEntropyLossFlat())
    plain = weights is None and label_smoothing == 0
    if loss == "model" and not plain:
        raise InputError(
            "task.loss=model is the loss of the Hugging Face model, which has no class weights and no label smoothing. "
            "Set task.loss=cross_entropy, or leave task.class_weights and task.label_smoothing out."
        )
    if loss == "model" or (loss == "auto" and plain):
        return None
    return CrossEntropyLossFlat(weight=weights, label_smoothing=label_smoothing)


def check_alone(has_weights: bool, label_smoothing: float) -> None:
    """Refuse class weights and label smoothing beside a loss of the user's own, which would ignore them.

    Raises:
        InputError: there are some.
    """
    if has_weights or label_smoothing:
        raise InputError(
            "task.class_weights and task.label_smoothing are settings of task.loss=cross_entropy, and task.loss is a "
            "loss of your own here. Leave them out, and give the loss its own arguments."
        )


@dataclass
class Target(ABC):
    """What a task learns to give. The fields of a subclass are fields of every task that has it, by the same names.

    Attributes:
        predicts: What metrics may read of it: `classes`, `numbers`, `words`, `answers`, `texts`, `tokens`, or a name
            of your own; empty accepts every metric.
        options: What a user of the trained model may ask of a prediction, with the types of the values.
        interface: MLflow's name of the interface that served predictions have, such as `llm/v1/chat`, in place of a
            table's rows.
        files: Fields of a prediction that are files as base64 text, with the suffixes of their names.
    """

    predicts: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[Mapping[str, type]] = {}
    files: ClassVar[Mapping[str, str]] = {}
    interface: ClassVar[str | None] = None

    # -- before training

    def label_options(self) -> LabelOptions | None:
        """Return how labels are read from the data; `None` leaves it to the task's schema."""
        return None

    def prepare(self, raw: RawData, inputs: Sequence[str]) -> RawData:
        """Set rows aside that training needs for itself, as the split `tune`; by default none.

        Args:
            raw: The rows.
            inputs: Roles that the model reads; rows equal in all of them stay in one split.
        """
        return raw

    def predicted(self, raw: RawData) -> str:
        """Return which of `predicts` metrics read where the labels are those of these rows."""
        return next(iter(self.predicts), "")

    def model_config(self, raw: RawData) -> dict[str, Any]:
        """Return what the model's config must know of the data, such as the names of the labels."""
        return {}

    def vocab(self, hf: HFObjects) -> list[str] | None:
        """Return the names of the labels in the order of their ids, or `None` where there are none."""
        return None

    def scored(self, hf: HFObjects) -> Scored:
        """Return what the metrics compare."""
        return Scored(next(iter(self.predicts), ""), self.vocab(hf))

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        """Return the loss; `None` takes the loss that the model computes itself."""
        return None

    def callbacks(self, hf: HFObjects) -> list[Callback]:
        """Return the callbacks that the learner always has."""
        return []

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        """Return the arguments that the class of the learner takes besides those of `Blearner`."""
        return {}

    # -- what the learner has just run

    @abstractmethod
    def decode(self, learner: Learner) -> tuple[Any, Any]:
        """Return `(predictions, targets)` of the batch that the learner has just run, for `completed`."""

    def completed(self, learner: Learner, decoded: Any) -> Any:
        """Return what the metrics read of what `decode` returned, where rows of other batches or shares belong to it.

        Of several processes the first completes what all have decoded.
        """
        return decoded

    @abstractmethod
    def describe(self, learner: Learner) -> Table:
        """Return a dict per row of that batch: `target`, `prediction`, and what else is worth keeping."""

    def shown_predictions(self, learner: Learner) -> Any:
        """Return what stands beside the targets in a table of that batch's rows, where text alone does not tell."""
        return None

    def preview(self, row: Mapping[str, Any], described: Mapping[str, Any]) -> str | None:
        """Return a small picture of a raw row and its description as a `data:` URL; None where its file tells enough.

        Args:
            row: Of the data.
            described: See `describe`; empty for a row that was not predicted on.
        """
        return None

    def merge_windows(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Make one description of a row from those of its windows, where `encode` cut it into several."""
        return parts[0]

    def per_row(self, given: Table, rows: EncodedRows, described: Table, roles: Sequence[str]) -> Table:
        """Return a dict per raw row: its own columns, and the description of what the model made of it.

        Args:
            given: The raw rows.
            rows: The encoded ones, of which a raw row may have become several.
            described: A dict per encoded row.
            roles: Columns that the task reads.
        """
        return beside(given, [self.merge_windows(part) for part in by_row(rows, described, len(given))], roles)

    def text_reports(self, rows: Rows) -> dict[str, str]:
        """Return reports on a split's described rows besides the numbers: file name to text."""
        return {}

    # -- after training

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Any]:
        """Predict one item or many.

        Raises:
            InputError: the target defines no predictions.
        """
        raise InputError(f"{type(self).__name__} does not say what a prediction is; define its method predict.")

    def for_checkpoint(self, hf: HFObjects) -> None:
        """Fill in what the config of a checkpoint leaves open that is used without training."""
        return

    def resolved(self, learner: Learner) -> dict[str, Any]:
        """Return the fields that were `auto` with the values that training chose."""
        return {}
