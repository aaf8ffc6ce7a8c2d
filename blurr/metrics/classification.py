"""Classification metrics.

They take one batch at a time and return one number each. torchmetrics lacks them, asks for the number of classes, or
computes a number that differs from scikit-learn's.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from blurr.config.annotations import Count
from blurr.errors import InputError, nearest
from blurr.metrics.bootstrap import Draws, Numbers, ratio

Average = Literal["auto", "binary", "macro", "micro", "weighted"]


class Gathered:
    """Base of the metrics of classes and of numbers: the true and the predicted ones seen so far."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.predicted: list[torch.Tensor] = []
        self.true: list[torch.Tensor] = []

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        if not isinstance(predictions, torch.Tensor):
            raise InputError(
                f"{type(self).__name__.lower()} is a metric for one class or number per row, but this task predicts "
                "texts or labelled words. Choose metrics=[seqeval] for words, metrics=[rougeL] for texts, or see "
                "`blurr ls metrics`."
            )

    def seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all predictions and all targets."""
        return torch.cat(self.predicted), torch.cat(self.true)


class _Counts(Gathered):
    """Base of the classification metrics.

    Predictions are logits `(batch, classes)`; targets are class ids `(batch,)`, or a 0/1 vector of labels
    `(batch, classes)`, for which a logit above 0 predicts the label.
    """

    reads: ClassVar[str] = "classes"
    direction: ClassVar[str] = "maximize"

    def __init__(self) -> None:
        self.names: list[str] | None = None
        super().__init__()

    def name_classes(self, names: Sequence[str]) -> None:
        """Take the names of the classes, in the order of their ids."""
        self.names = list(names)

    def reset(self) -> None:
        super().reset()
        self.classes = 0
        self.multilabel = False

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        super().update(predictions, targets)
        if predictions.ndim != 2 or (targets.is_floating_point() and targets.ndim == 1):
            raise InputError(
                f"{type(self).__name__.lower()} is a metric for classes, but the targets are numbers (regression). "
                "Choose metrics=[pearson,spearman,rmse]."
            )
        self.multilabel = targets.ndim == 2
        self.classes = predictions.shape[1]
        self.predicted.append(((predictions > 0) if self.multilabel else predictions.argmax(1)).cpu())
        self.true.append(targets.long().cpu())

    def one_hot(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which classes or labels are predicted and true, `(rows, classes)`."""
        predicted, true = self.seen()
        if self.multilabel:
            return predicted.numpy() > 0, true.numpy() > 0
        classes = np.arange(self.classes)
        return predicted.numpy()[:, None] == classes, true.numpy()[:, None] == classes


class Accuracy(_Counts):
    """The share of correct classes; with several labels, of rows whose labels are all correct."""

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        right = predicted == true
        return (right.all(1) if self.multilabel else right).double().mean()

    def resampled(self, draws: Draws) -> Numbers:
        predicted, true = self.one_hot()
        return draws.means((predicted == true).all(1))


class _Averaged(_Counts):
    """Base of the scores of one class, or averaged over several.

    Args:
        average: `auto` is the score of the positive class for two classes, the mean over the classes (`macro`) for
            more, and `micro` for several labels; or one of `binary`, `macro`, `micro`, `weighted`. The mean is over the
            classes that occur among the targets or the predictions.
        positive: The class or label to score; None takes the second of two.

    Raises:
        InputError: Both a mean over classes and the score of one class are requested.
    """

    def __init__(self, average: Average = "auto", positive: str | int | bool | None = None) -> None:
        super().__init__()
        # the command line makes numbers and truth values of some labels, which are texts
        self.positive = (
            None if positive is None else str(positive).lower() if isinstance(positive, bool) else str(positive)
        )
        self.average = average
        if positive is not None and average not in ("auto", "binary"):
            raise InputError(
                f"average={average} is a mean over classes, and positive={positive} asks for the score of one class. "
                "Leave one of them out."
            )

    def name_classes(self, names: Sequence[str]) -> None:
        """Take the names of the classes.

        Raises:
            InputError: The positive class is not among them.
        """
        super().name_classes(names)
        if self.positive is not None and self.positive not in names:
            raise InputError(
                f"positive={self.positive} of {type(self).__name__} is not a label of the data."
                f"{nearest(self.positive, names)} The labels are {list(names)}."
            )

    def note(self) -> str | None:
        """Return which class is scored; None for a mean."""
        which = self._of_one()
        return None if which is None else f"of {self.names[which] if self.names else f'class {which}'}"

    def compute(self) -> torch.Tensor:
        predicted, true = self.seen()
        which = self._of_one()
        if which is not None:
            predicted, true = (each[:, which] > 0 if self.multilabel else each == which for each in (predicted, true))
            counts = (np.array(float(each.sum())) for each in (predicted & true, predicted, true))
            return torch.tensor(self.score(*counts), dtype=torch.float32)  # as torchmetrics has them
        multiclass, multilabel = self.functions()
        if self.multilabel:
            average = "micro" if self.average == "auto" else self.average
            return multilabel(predicted.int(), true, num_labels=self.classes, average=average)
        average = "macro" if self.average == "auto" else self.average
        return multiclass(predicted, true, num_classes=self.classes, average=average)

    @abstractmethod
    def functions(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        """Return torchmetrics' functions, which load half of scipy, for several classes and for several labels."""

    def resampled(self, draws: Draws) -> Numbers:
        predicted, true = self.one_hot()
        counts = (draws.sums(predicted & true), draws.sums(predicted), draws.sums(true))  # (draws, classes) each
        which, average = self._of_one(), self.average
        if which is not None:
            return self.score(*(each[:, which] for each in counts))
        if average == "auto":
            average = "micro" if self.multilabel else "macro"
        if average == "micro":
            return self.score(*(each.sum(1) for each in counts))
        there = np.ones_like(counts[0]) if self.multilabel else (counts[1] + counts[2] > 0).astype(np.float64)
        weights = counts[2] if average == "weighted" else there
        return ratio((self.score(*counts) * weights).sum(1), weights.sum(1))

    @staticmethod
    @abstractmethod
    def score(right: Numbers, predicted: Numbers, true: Numbers) -> Numbers:
        """Return the score of counts: those predicted right, all predicted, all true."""

    def _of_one(self) -> int | None:
        """Return the id of the class that is scored; None for a mean over classes."""
        if self.positive is not None:
            if self.names is None:
                raise InputError(f"positive={self.positive}: this learner does not know the names of its classes.")
            return self.names.index(self.positive)
        two = self.classes == 2 and not self.multilabel
        if self.average == "binary" and not two:
            raise InputError(
                f"{type(self).__name__} with average=binary needs two classes, not {self.classes}. Choose macro or "
                "micro, or name one by positive."
            )
        return 1 if two and self.average in ("auto", "binary") else None


class F1(_Averaged):
    """F1, the harmonic mean of precision and recall."""

    def functions(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        from torchmetrics.functional.classification import multiclass_f1_score, multilabel_f1_score

        return multiclass_f1_score, multilabel_f1_score

    @staticmethod
    def score(right: Numbers, predicted: Numbers, true: Numbers) -> Numbers:
        return ratio(2 * right, predicted + true)


class Precision(_Averaged):
    """TP / (TP + FP): the share of predicted positives that are correct."""

    def functions(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        from torchmetrics.functional.classification import multiclass_precision, multilabel_precision

        return multiclass_precision, multilabel_precision

    @staticmethod
    def score(right: Numbers, predicted: Numbers, true: Numbers) -> Numbers:
        return ratio(right, predicted)


class Recall(_Averaged):
    """TP / (TP + FN): the share of true positives that are predicted."""

    def functions(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        from torchmetrics.functional.classification import multiclass_recall, multilabel_recall

        return multiclass_recall, multilabel_recall

    @staticmethod
    def score(right: Numbers, predicted: Numbers, true: Numbers) -> Numbers:
        return ratio(right, true)


class Matthews(_Counts):
    """The Matthews correlation coefficient, from -1 to 1, as in scikit-learn (Gorodkin 2004 for several classes).

    It is 0 if all targets, or all predictions, are of one class; torchmetrics 1.9 returns up to 0.98 for a model that
    always answers the same. With several labels, the decisions about all labels count equally.
    """

    def compute(self) -> torch.Tensor:
        predicted, true = (each.long().reshape(-1) for each in self.seen())
        n = 2 if self.multilabel else self.classes
        confusion = torch.bincount(true * n + predicted, minlength=n * n).reshape(n, n).double()
        of_true, of_predicted, rows = confusion.sum(1), confusion.sum(0), confusion.sum()
        spread = (rows**2 - of_true @ of_true) * (rows**2 - of_predicted @ of_predicted)
        if spread == 0:
            return torch.zeros((), dtype=torch.float64)
        return (confusion.trace() * rows - of_true @ of_predicted) / spread.sqrt()

    def resampled(self, draws: Draws) -> Numbers:
        predicted, true = self.one_hot()
        if self.multilabel:  # each label of a row is a decision between two classes
            hits = draws.sums(np.stack([(predicted == true).sum(1), np.full(len(true), true.shape[1])], 1))
            right, rows = hits.T
            of_true, of_predicted = (
                draws.sums(np.stack([(~each).sum(1), each.sum(1)], 1)) for each in (true, predicted)
            )
        else:
            right, rows = draws.sums(np.stack([(predicted & true).any(1), np.ones(len(true))], 1)).T
            of_true, of_predicted = draws.sums(true), draws.sums(predicted)
        spread = (rows**2 - (of_true**2).sum(1)) * (rows**2 - (of_predicted**2).sum(1))
        return ratio(right * rows - (of_true * of_predicted).sum(1), np.sqrt(spread.clip(min=0)))


class TopK(_Counts):
    """The share of rows whose class is among the `k` likeliest; with fewer classes than that, all of them count.

    Args:
        k: How many.
    """

    def __init__(self, k: Count = 5) -> None:
        self.k = k
        super().__init__()

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        super().update(predictions, targets)
        if self.multilabel:
            raise InputError(
                f"top{self.k} is the share of rows whose one class is among the likeliest {self.k}, but these rows "
                "have several labels. Choose metrics=[f1]."
            )
        likeliest = predictions.topk(min(self.k, predictions.shape[1])).indices
        self.predicted[-1] = (likeliest == targets[:, None]).any(1).cpu()
        self.true[-1] = torch.ones_like(self.predicted[-1])

    def compute(self) -> torch.Tensor:
        return torch.cat(self.predicted).double().mean()

    def resampled(self, draws: Draws) -> Numbers:
        return draws.means(torch.cat(self.predicted).numpy())
