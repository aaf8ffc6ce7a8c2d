"""Bootstrap intervals of final scores: rows are drawn with replacement, and each score is computed again.

Source: the percentile bootstrap of Efron and Tibshirani 1986, Bootstrap Methods for Standard Errors, Confidence
Intervals, and Other Measures of Statistical Accuracy (doi 10.1214/ss/1177013815). Each metric adds up numbers of single
rows, so that a thousand draws are one matrix product.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

Numbers = NDArray[np.float64]
Interval = tuple[float, float]
SAMPLES = 1000
ENDS = (0.025, 0.975)  # of an interval that holds 95 % of the draws
SEED = 0
MOST = 4_000_000  # counts in memory at a time
TOLERANCE = 1e-3  # relative: losses are summed in another order, and some in 16 bits


@dataclass(frozen=True)
class Draws:
    """Some draws of a split's rows.

    Attributes:
        counts: how often each row is drawn, `(draws, rows)`.
        order: the row that each prediction a metric has seen belongs to, `(predictions,)`.
        rows: the described rows of the split.
    """

    counts: Numbers
    order: NDArray[np.int64]
    rows: Sequence[Mapping[str, Any]]

    @cached_property
    def streamed(self) -> Numbers:
        """How often each prediction is drawn, in the order in which metrics have seen them, `(draws, predictions)`."""
        return self.counts[:, self.order]

    def means(self, values: Any) -> Numbers:
        """Return the mean of a number of each prediction in each draw, `(draws,)`."""
        return mean_of(self.streamed, values, np.ones(len(values)))

    def sums(self, values: Any) -> Numbers:
        """Return the sums over each draw's predictions of several numbers each: `(draws, n)` of `(predictions, n)`."""
        return np.asarray(sparse.csr_matrix(np.asarray(values, dtype=np.float64)).T.dot(self.streamed.T).T)


def mean_of(counts: Numbers, values: Any, weights: Any) -> Numbers:
    """Return the weighted mean of a number of each row in each draw; NaN if the rows drawn have no weight."""
    values, weights = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    return ratio(counts @ (values * weights), counts @ weights, empty=np.nan)


def ratio(one: Numbers, other: Numbers, *, empty: float = 0.0) -> Numbers:
    """Divide, and return `empty` where the divisor is 0."""
    divided: Numbers = np.divide(one, other, out=np.full(np.shape(one), empty), where=other != 0)
    return divided


@runtime_checkable
class Resampled(Protocol):
    """A metric that computes its value again for draws of the rows."""

    def resampled(self, draws: Draws) -> Numbers:
        """Return the value of each draw, `(draws,)`; NaN where it has none."""
        ...


def intervals(
    metrics: Mapping[str, object],
    scores: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    order: NDArray[np.int64],
    *,
    weights: Numbers,
) -> dict[str, Interval]:
    """Return the 95 % intervals of the scores of a split, by metric.

    Metrics that cannot compute their value again have none, nor has a score that its rows do not explain, such as a
    loss with weights for classes.

    Args:
        metrics: by name, after they have seen the split.
        scores: of the split, with its `loss`.
        rows: described rows of the split.
        order: the row of each prediction, in the order in which the metrics have seen them.
        weights: the weight of each row's loss.
    """
    functions: dict[str, Callable[[Draws], Numbers]] = {
        name: metric.resampled for name, metric in metrics.items() if isinstance(metric, Resampled)
    }
    if rows and all("loss" in row for row in rows):
        losses = [float(row["loss"]) for row in rows]
        functions["loss"] = lambda draws: mean_of(draws.counts, losses, weights)
    if len(rows) < 2:
        return {}
    whole = Draws(np.ones((1, len(rows))), order, rows)
    known = {n: f for n, f in functions.items() if n in scores and _equal(f(whole)[0], scores[n])}
    values: dict[str, list[Numbers]] = {name: [] for name in known}
    for counts in drawn(len(rows)):
        draws = Draws(counts, order, rows)
        for name, function in known.items():
            values[name].append(function(draws))
    return {name: found for name, each in values.items() if (found := _ends(np.concatenate(each))) is not None}


def drawn(n: int) -> Iterator[Numbers]:
    """Yield how often each of n rows is in each draw, some draws at a time; the same ones each time."""
    rng = np.random.default_rng(SEED)
    size = max(1, min(SAMPLES, MOST // n))
    for start in range(0, SAMPLES, size):
        count = min(size, SAMPLES - start)
        rows = rng.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        yield np.bincount(rows.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def _ends(values: Numbers) -> Interval | None:
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2:
        return None
    low, high = np.quantile(known, ENDS)
    return float(low), float(high)


def _equal(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=TOLERANCE, atol=1e-6))
