"""Metrics that read whole rows: the columns of the data that no model sees, beside targets and predictions."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fastai.learner import Learner
from fastai.learner import Metric as FastaiMetric

from blurr.data.own_columns import own_column
from blurr.errors import InputError, nearest
from blurr.text.metrics import Metric, StreamedMetric


class RowMetric(ABC):
    """A metric of the described rows of a split, known when the final model is evaluated and not before."""

    @abstractmethod
    def score(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Give one number for rows of every column of the data, `target`, `prediction` and `loss`."""


class WorstGroup(RowMetric):
    """Accuracy of the group of rows that fares worst (Sagawa et al. 2020, arXiv:1911.08731).

    Args:
        column: of the data; rows with the same value here are a group.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    def score(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Give the lowest share of right predictions.

        Raises:
            InputError: the rows have no such column.
        """
        column = own_column(rows[0], self.column)
        if column not in rows[0]:
            raise InputError(
                f"metrics.worst_group.column={self.column} is no column of the rows.{nearest(self.column, rows[0])} "
                f"They have {sorted(rows[0])}."
            )
        right: dict[str, list[bool]] = defaultdict(list)
        for row in rows:
            right[str(row[column])].append(row["prediction"] == row["target"])
        return min(sum(each) / len(each) for each in right.values())


class RowsLater(FastaiMetric):  # type: ignore[misc]  # fastai is not typed
    """Keep a row metric's place among a learner's metrics: it has no value before the final evaluation."""

    def __init__(self, name: str, metric: RowMetric) -> None:
        self._name, self.metric = name, metric

    @property
    def name(self) -> str:
        return self._name

    @property
    def value(self) -> None:
        return None

    def reset(self) -> None:
        """Forget nothing: there is nothing to forget."""

    def accumulate(self, learn: Learner) -> None:
        """Take nothing: the rows are described at the end."""


def streamed(metrics: Mapping[str, Metric | RowMetric]) -> list[StreamedMetric | RowsLater]:
    """Show metrics to fastai, each under its name."""
    return [
        RowsLater(name, metric) if isinstance(metric, RowMetric) else StreamedMetric(name, metric)
        for name, metric in metrics.items()
    ]
