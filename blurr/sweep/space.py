"""Read a sweep's overrides: which values are fixed, which vary, and over what."""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from blurr.errors import InputError, shortened
from blurr.runs.naming import is_repeated

OWN = ("sweep", "sweep.", "sweep/")  # how an override about the sweep itself begins
MOST_SAMPLES = 20
MOST_TRIALS = 100_000
Point = dict[str, str]  # key to value, both as on the command line


@dataclass(frozen=True)
class Axis:
    """A key that varies.

    Attributes:
        key: as on the command line, with its plus sign if it has one.
        choices: the values as on the command line; empty for an interval.
        low: least number of an interval or range.
        high: greatest number, included.
        step: distance of the numbers in a range; None for an interval.
        log: draw the numbers on a logarithmic scale.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False

    def admits(self, value: str) -> bool:
        """Is this one of its values?"""
        if self.low is None or self.high is None:
            return value in self.choices
        try:
            return self.low <= float(value) <= self.high
        except ValueError:
            return False

    def samples(self) -> tuple[str, ...]:
        """Return the ends of an interval or range, or the first twenty choices."""
        if self.low is None:
            return self.choices[:MOST_SAMPLES]
        return (str(self.low), str(self.high))


@dataclass(frozen=True)
class Space:
    """What a sweep's command line spans.

    Attributes:
        fixed: overrides that every trial has.
        axes: keys that vary.
    """

    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]

    def grid(self, shuffle: int | None = None) -> list[Point]:
        """Return all combinations.

        Args:
            shuffle: seed of their order; with None the last key varies fastest.

        Raises:
            InputError: an axis is an interval, whose values cannot be listed, or there are too many combinations.
        """
        for axis in self.axes:
            if not axis.choices:
                raise InputError(
                    f"{axis.key}=interval({axis.low},{axis.high}) has infinitely many values, and a grid tries them "
                    "all. Choose a search, such as sweep=tpe or sweep=random; or list the values."
                )
        _check_number(math.prod(len(axis.choices) for axis in self.axes), "The grid of these values has")
        keys = [axis.key for axis in self.axes]
        combinations = itertools.product(*(axis.choices for axis in self.axes))
        points = [dict(zip(keys, values, strict=True)) for values in combinations]
        if shuffle is not None:
            random.Random(shuffle).shuffle(points)
        return points

    def samples(self) -> Iterator[Point]:
        """Yield a first point, and then points that differ from it in one key, for each of that key's samples."""
        first = {axis.key: axis.samples()[0] for axis in self.axes}
        yield first
        for axis in self.axes:
            for value in axis.samples()[1:]:
                yield {**first, axis.key: value}

    def repetitions(self) -> list[Point]:
        """Return the combinations of seeds and folds that each configuration is run with; an empty one without any.

        A seed drawn from an interval is not among them, nor are seeds if nothing else varies.
        """
        repeated = tuple(axis for axis in self.axes if is_repeated(axis.key) and axis.choices)
        return Space(self.fixed, repeated).grid() if len(repeated) < len(self.axes) else [{}]

    def overrides(self, point: Mapping[str, str]) -> list[str]:
        """Return the overrides of one trial."""
        return overrides_of(self.fixed, point)

    def identify(self, point: Mapping[str, str]) -> str:
        """Return a hash of a trial's overrides, the same for any order."""
        return hashlib.sha256(json.dumps(sorted(self.overrides(point))).encode()).hexdigest()[:16]


def overrides_of(fixed: Iterable[str], point: Mapping[str, str]) -> list[str]:
    """Return the overrides of a trial, of those that are fixed and those that vary."""
    return [*fixed, *(f"{key}={value}" for key, value in point.items())]


def parse(overrides: Sequence[str], loader: ConfigLoader) -> Space:
    """Split overrides into those that are fixed and those that vary; those about the sweep itself are left out.

    Args:
        overrides: as on the command line.
        loader: knows the options of each group, for `model=glob(*)`.
    """
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    ours = [each for each in parsed if not is_own(each.key_or_group)]
    fixed = tuple(str(each.input_line) for each in ours if not each.is_sweep_override())
    return Space(fixed, tuple(_axis(each) for each in ours if each.is_sweep_override()))


def is_own(override: str) -> bool:
    """Is this override, or key, about the sweep itself?"""
    key = override.lstrip("+~").partition("=")[0]
    return key == OWN[0] or key.startswith(OWN[1:])


def _check_number(count: int, who: str) -> None:
    if count > MOST_TRIALS:
        raise InputError(
            f"{shortened(who)} more than {MOST_TRIALS} trials, which nobody waits for. Choose a search, such as "
            "sweep=tpe with sweep.trials=…, and intervals in place of lists: key=interval(1,100)."
        )


def _axis(override: Override) -> Axis:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return Axis(key, low=value.start, high=value.end, log="log" in value.tags)
    choices = tuple(itertools.islice(override.sweep_string_iterator(), MOST_TRIALS + 1))
    _check_number(len(choices), f"{override.input_line} has")
    if not choices:
        raise InputError(f"{override.input_line}: there is no value to try in this.")
    if isinstance(value, RangeSweep):
        numbers: list[Any] = list(value.range())
        return Axis(key, choices, min(numbers), max(numbers), abs(value.step), "log" in value.tags)
    return Axis(key, choices)
