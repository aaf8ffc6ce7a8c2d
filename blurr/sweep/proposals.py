"""Supply a sweep's trials in order: those of a grid, or those that a search proposes."""

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
        total: number of trials; None runs the whole grid.
        grid: the points to try, in order; None if `search` proposes them.
        search: proposes and judges trials; None for a grid without a pruner.
        repeats: the seeds and folds that each proposal of the search is run with, one after another.

    Attributes:
        total: number of trials, at most the size of the grid; of a search with repetitions a multiple of their number.
    """

    def __init__(
        self,
        space: Space,
        *,
        total: int | None,
        grid: Sequence[Point] | None,
        search: "Search | None",
        repeats: Sequence[Point] = ({},),
    ) -> None:
        self.space = space
        self._grid = None if grid is None else deque(grid)  # the points that are left
        size = len(grid) if grid is not None else total or 0
        self.total = min(size, total or size)
        self._repeats = repeats
        if grid is None:
            self.total = max(1, self.total // len(repeats)) * len(repeats)
        self._search = search
        self._copies: dict[int, list[int]] = {}  # number of a running trial to those with the same values

    def follow(self, ledger: Ledger) -> list[Trial]:
        """Take over what earlier starts of the sweep did; return the trials to run again."""
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
        """Write down and return the next trial to run, or None.

        A search may propose the same values again. Such a trial is not run: it gets the result of the first one.
        """
        while len(ledger.trials) < self.total:
            number = len(ledger.trials)
            point = self._grid.popleft() if self._grid is not None else self._proposed(number, ledger)
            identity = self.space.identify(point)
            twin = ledger.first(identity)
            trial = ledger.propose(number, identity, point)
            if self._search:
                self._search.add(trial)
            if twin is None:
                return trial
            self._await(twin, trial, ledger)
        return None

    def _proposed(self, number: int, ledger: Ledger) -> Point:
        """Return the point of a trial: the search's next proposal, or the last one with another seed or fold."""
        repetition = self._repeats[number % len(self._repeats)]
        if number % len(self._repeats):
            return {**ledger.trials[number - 1].point, **repetition}
        return {**self._search.ask(number), **repetition}  # type: ignore[union-attr]  # where there is no grid

    def is_to_be_pruned(self, event: Reported) -> bool:
        """Judge a trial by its report."""
        return self._search is not None and self._search.is_to_be_pruned(event.number, event.step, event.value)

    def tell(self, trial: Trial, ledger: Ledger) -> None:
        """Pass a trial's end to the search and to the trials with the same values."""
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


def _without(points: Iterable[Point], trials: Iterable[Trial]) -> Iterator[Point]:
    """Yield the points that no trial has; an earlier start may have used another order."""
    tried = Counter(frozenset(trial.point.items()) for trial in trials)
    for point in points:
        key = frozenset(point.items())
        if tried[key]:
            tried[key] -= 1
        else:
            yield point
