"""Put trials that differ in a seed or fold alone together, and find the configuration with the best mean."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from blurr.runs.naming import compact, is_repeated
from blurr.sweep.ledger import Trial
from blurr.sweep.objectives import Objective
from blurr.sweep.space import Point


@dataclass(frozen=True)
class Configuration:
    """What trials have in common that differ in seeds and folds alone.

    Attributes:
        point: each varying key with its value, without seeds and folds.
        trials: its repetitions, without those that got the result of another one.
    """

    point: Point
    trials: tuple[Trial, ...]

    @cached_property
    def finished(self) -> list[Trial]:
        """The trials whose scores count: those that finished with numbers."""
        done = [trial for trial in self.trials if trial.state == "finished"]
        return [trial for trial in done if not any(map(math.isnan, trial.values))]  # NaN compares as neither

    @cached_property
    def means(self) -> list[float]:
        """The mean of each objective over the finished trials; empty if there are none."""
        return [statistics.fmean(values) for values in self._values()]

    @cached_property
    def deviations(self) -> list[float]:
        """The sample standard deviation of each objective; empty with fewer than two finished trials."""
        return [statistics.stdev(values) for values in self._values() if len(values) > 1]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the finished trials, as their folders have them."""
        return [trial.number if trial.twin is None else trial.twin for trial in self.finished]

    @property
    def is_repeated(self) -> bool:
        """Does it have more than one trial?"""
        return len(self.trials) > 1

    def scores(self, digits: int = 4) -> list[str]:
        """Return each mean as text, with the deviation if there is one: `0.842 ± 0.012`."""
        spreads = [f" ± {each:.2g}" for each in self.deviations] or [""] * len(self.means)
        return [f"{mean:.{digits}g}{spread}" for mean, spread in zip(self.means, spreads, strict=True)]

    def said(self) -> str:
        """Return the scores in one line, with the number of finished trials if it has several."""
        count = f"n={len(self.finished)}" if len(self.finished) == len(self.trials) else self.count
        return ", ".join([*self.scores(), *([count] if self.is_repeated else [])])

    @property
    def count(self) -> str:
        """How many trials have finished, of how many."""
        done, of = len(self.finished), len(self.trials)
        return str(of) if done == of else f"{done} of {of}"

    def __str__(self) -> str:
        return compact(self.point) or "the only configuration"

    def _values(self) -> list[tuple[float, ...]]:
        return list(zip(*(trial.values for trial in self.finished), strict=True))


def configurations_of(trials: Iterable[Trial]) -> list[Configuration]:
    """Return the configurations of trials, in the order of their first trials.

    Without a seed or fold among the varying keys, each trial is a configuration of its own.
    """
    trials = list(trials)
    if not any(is_repeated(key) for trial in trials for key in trial.point):
        return [Configuration(trial.point, (trial,)) for trial in trials]
    found: dict[frozenset[tuple[str, str]], list[Trial]] = {}
    for trial in trials:
        if trial.twin is None:  # the same seed twice is not two repetitions
            found.setdefault(frozenset(without_repeated(trial.point).items()), []).append(trial)
    return [Configuration(without_repeated(each[0].point), tuple(each)) for each in found.values()]


def without_repeated(point: Point) -> Point:
    """Return a trial's values without its seeds and folds."""
    return {key: value for key, value in point.items() if not is_repeated(key)}


def repeated_values(trials: Iterable[Trial]) -> dict[str, list[str]]:
    """Return the values of each seed and fold that trials differ in."""
    found: dict[str, dict[str, None]] = {}
    for trial in trials:
        for key, value in trial.point.items():
            if is_repeated(key):
                found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def compared(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Return the configurations with the most finished repetitions: a mean of fewer is easier to be lucky with."""
    most = max((len(each.finished) for each in configurations), default=0)
    return [each for each in configurations if most and len(each.finished) == most]


def best(configurations: Sequence[Configuration], objectives: Sequence[Objective]) -> list[Configuration]:
    """Return the best mean by one objective; by several, all configurations that no other one dominates."""
    return _best(compared(configurations), objectives)


def not_compared(configurations: Sequence[Configuration], objectives: Sequence[Objective]) -> list[Configuration]:
    """Return the configurations that would be among the best if fewer finished repetitions were enough."""
    rest = [each for each in configurations if each.finished and each not in compared(configurations)]
    winners = best(configurations, objectives)
    return [each for each in rest if any(each is found for found in _best([*winners, each], objectives))]


def _best(done: Sequence[Configuration], objectives: Sequence[Objective]) -> list[Configuration]:
    signs = [objective.sign for objective in objectives]
    scores = [[sign * value for sign, value in zip(signs, each.means, strict=True)] for each in done]
    pairs = list(zip(scores, done, strict=True))
    if len(objectives) == 1:
        return [each for _, each in sorted(pairs, key=lambda pair: (-pair[0][0], pair[1].trials[0].number))[:1]]
    return [each for mine, each in pairs if not any(_dominates(other, mine) for other in scores)]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Is one at least as good in all objectives, and better in some (Pareto dominance)?"""
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
