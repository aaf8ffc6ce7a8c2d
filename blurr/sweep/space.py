"""Read the words of a sweep: which values stay, which vary, and over what."""

import hashlib
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from blurr.errors import InputError

OWN = ("sweep", "sweep.", "sweep/")  # how a word about the sweep itself begins
MOST_SAMPLES = 20
Point = dict[str, str]  # key to value, both as on the command line


@dataclass(frozen=True)
class Axis:
    """A key that varies.

    Attributes:
        key: as on the command line, with a plus sign where there is one.
        choices: its values as on the command line; empty for an interval.
        low: least number of an interval or range.
        high: greatest number, which is one of them.
        step: of a range; None for an interval.
        log: whether the numbers are to be drawn on a logarithmic scale.
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
        """Give values that stand for all: the ends of an interval or range, else the first twenty choices."""
        if self.low is None:
            return self.choices[:MOST_SAMPLES]
        return (str(self.low), str(self.high))


@dataclass(frozen=True)
class Space:
    """What a sweep's command line spans.

    Attributes:
        fixed: words that hold for every trial.
        axes: keys that vary.
    """

    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]

    def grid(self, shuffle: int | None = None) -> list[Point]:
        """Give all combinations.

        Args:
            shuffle: seed of their order; without one the last key varies fastest.

        Raises:
            InputError: an interval has no end of values.
        """
        for axis in self.axes:
            if not axis.choices:
                raise InputError(
                    f"{axis.key}=interval({axis.low},{axis.high}) has no end of values, and a grid tries them all. "
                    "Choose a search, such as sweep=tpe or sweep=random; or list the values."
                )
        keys = [axis.key for axis in self.axes]
        combinations = itertools.product(*(axis.choices for axis in self.axes))
        points = [dict(zip(keys, values, strict=True)) for values in combinations]
        if shuffle is not None:
            random.Random(shuffle).shuffle(points)
        return points

    def samples(self) -> Iterator[Point]:
        """Yield the first point, and from there each key's other values, one key at a time."""
        first = {axis.key: axis.samples()[0] for axis in self.axes}
        yield first
        for axis in self.axes:
            for value in axis.samples()[1:]:
                yield {**first, axis.key: value}

    def words(self, point: Mapping[str, str]) -> list[str]:
        """Give the command line of one trial."""
        return words_of(self.fixed, point)

    def identify(self, point: Mapping[str, str]) -> str:
        """Give what a trial is known by: a hash of its command line, whatever the order of the words."""
        return hashlib.sha256(json.dumps(sorted(self.words(point))).encode()).hexdigest()[:16]


def words_of(fixed: Iterable[str], point: Mapping[str, str]) -> list[str]:
    """Give a command line of what is fixed and what varies."""
    return [*fixed, *(f"{key}={value}" for key, value in point.items())]


def parse(words: Sequence[str], loader: ConfigLoader) -> Space:
    """Split a sweep's words into what is fixed and what varies; those about the sweep itself are left out.

    Args:
        words: as on the command line.
        loader: knows the options of each group, for `model=glob(*)`.
    """
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
    ours = [each for each in overrides if not is_own(each.key_or_group)]
    fixed = tuple(str(each.input_line) for each in ours if not each.is_sweep_override())
    return Space(fixed, tuple(_axis(each) for each in ours if each.is_sweep_override()))


def is_own(key: str) -> bool:
    """Is this key, or word, about the sweep itself?"""
    plain = key.lstrip("+~").partition("=")[0]
    return plain == OWN[0] or plain.startswith(OWN[1:])


def _axis(override: Override) -> Axis:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return Axis(key, low=value.start, high=value.end, log="log" in value.tags)
    choices = tuple(override.sweep_string_iterator())
    if not choices:
        raise InputError(f"{override.input_line}: there is no value to try in this.")
    if isinstance(value, RangeSweep):
        numbers: list[Any] = list(value.range())
        return Axis(key, choices, min(numbers), max(numbers), abs(value.step), "log" in value.tags)
    return Axis(key, choices)
