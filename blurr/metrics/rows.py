"""Metrics that read whole rows: the columns of the data that no model sees, beside targets and predictions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from blurr.data.roles import own_column
from blurr.errors import InputError, nearest
from blurr.metrics.bootstrap import Draws, Numbers, mean_of
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
        return min(sum(right for _, right in each) / len(each) for each in self._by_group(rows).values())

    def resampled(self, draws: Draws) -> Numbers:
        """Return the lowest share among the groups that a draw has."""
        shares = []
        for group in self._by_group(draws.rows).values():
            rows, right = zip(*group, strict=True)
            shares.append(mean_of(draws.counts[:, list(rows)], right, np.ones(len(rows))))
        lowest: Numbers = np.nanmin(np.stack(shares), axis=0)
        return lowest

    def _by_group(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, bool]]]:
        """Return the number of each row of a group, and whether it is predicted right."""
        column = own_column(rows[0], self.column)
        if column not in rows[0]:
            raise InputError(
                f"metrics.worst_group.column={self.column} is not a column of the rows.{nearest(self.column, rows[0])} "
                f"They have {sorted(rows[0])}."
            )
        groups: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for number, row in enumerate(rows):
            groups[str(row[column])].append((number, row["prediction"] == row["target"]))
        return groups
