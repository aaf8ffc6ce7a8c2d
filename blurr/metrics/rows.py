"""Metrics that read whole rows: the columns of the data that no model sees, beside targets and predictions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from blurr.data.roles import own_column
from blurr.errors import InputError, nearest
from blurr.metrics.streamed import RowMetric


class WorstGroup(RowMetric):
    """The lowest accuracy among groups of rows (Sagawa et al. 2020, arXiv:1911.08731).

    Args:
        column: The column whose values define the groups.
    """

    direction: ClassVar[str] = "maximize"

    def __init__(self, column: str) -> None:
        self.column = column

    def score(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Return the lowest share of correct predictions.

        Raises:
            InputError: The rows do not have the column.
        """
        column = own_column(rows[0], self.column)
        if column not in rows[0]:
            raise InputError(
                f"metrics.worst_group.column={self.column} is not a column of the rows.{nearest(self.column, rows[0])} "
                f"They have {sorted(rows[0])}."
            )
        right: dict[str, list[bool]] = defaultdict(list)
        for row in rows:
            right[str(row[column])].append(row["prediction"] == row["target"])
        return min(sum(each) / len(each) for each in right.values())
