"""Give a sweep its trials, in order: those of a grid, or those that a search proposes."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.messages import Reported
from blurr.sweep.space import Point, Space

if TYPE_CHECKING:
    from blurr.sweep.search import Search


class Proposals:
    """Where trials come from.

    Args:
        space: what may vary.
        total: how many trials there are to be in all; None: the whole grid.
        grid: the points to be tried, in order; None where `search` proposes them.
        search: proposes and judges trials; None where a grid is run without a pruner.

    Attributes:
        total: as above, and never more than a grid has.
    """

    def __init__(
        self, space: Space, *, total: int | None, grid: Sequence[Point] | None, search: "Search | None"
    ) -> None:
        self.space = space
        self._grid = None if grid is None else deque(grid)  # what of it is left to be tried
        size = len(grid) if grid is not None else total or 0
        self.total = min(size, total or size)
        self._search = search
        self._copies: dict[int, list[int]] = {}  # number of a running trial to those that have its values

    def follow(self, ledger: Ledger) -> list[Trial]:
        """Take up what earlier starts of the sweep did; give the trials that they left to be run again."""
        if self._search:
            self._search.follow(ledger)
        if self._grid is not None:
            self._grid = deque(_without(self._grid, ledger.trials.values()))
        left = []
        for trial in [trial for trial in ledger.trials.values() if not trial.is_done]:
            twin = ledger.first(trial.hash)
            if twin is None or twin is trial:
                left.append(trial)
            else:
                self._await(twin, trial, ledger)
        return left

    def next(self, ledger: Ledger) -> Trial | None:
        """Write down and give the next trial; None where there is none left to run.

        A search may propose what it proposed before. That is not run again: it ends as the first one did.
        """
        while len(ledger.trials) < self.total:
            number = len(ledger.trials)
            point = self._grid.popleft() if self._grid is not None else self._ask(number)
            identity = self.space.identify(point)
            twin = ledger.first(identity)
            trial = ledger.propose(number, identity, point)
            if self._search and self._grid is not None:
                self._search.add(trial)
            if twin is None:
                return trial
            self._await(twin, trial, ledger)
        return None

    def is_to_be_pruned(self, event: Reported) -> bool:
        """Judge a trial by its report."""
        return self._search is not None and self._search.is_to_be_pruned(event.number, event.step, event.value)

    def tell(self, trial: Trial, ledger: Ledger) -> None:
        """Take a trial's end."""
        if self._search:
            self._search.tell(trial)
        for number in self._copies.pop(trial.number, []):
            self._copy(trial, ledger.trials[number], ledger)

    def _await(self, twin: Trial, trial: Trial, ledger: Ledger) -> None:
        if twin.is_done:
            self._copy(twin, trial, ledger)
        else:
            self._copies.setdefault(twin.number, []).append(trial.number)

    def _copy(self, twin: Trial, trial: Trial, ledger: Ledger) -> None:
        ledger.end(trial.number, twin.state, values=twin.values, reason=twin.reason, twin=twin.number)
        if self._search:
            self._search.tell(trial)

    def _ask(self, number: int) -> Point:
        if self._search is None:
            raise RuntimeError("Neither a grid nor a search was given.")
        return self._search.ask(number)


def _without(points: Iterable[Point], trials: Iterable[Trial]) -> Iterator[Point]:
    """Yield the points that no trial has; the sweep may have been begun in another order."""
    tried = Counter(frozenset(trial.point.items()) for trial in trials)
    for point in points:
        key = frozenset(point.items())
        if tried[key]:
            tried[key] -= 1
        else:
            yield point
