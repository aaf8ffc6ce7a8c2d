"""Draw numbers for the rows of a batch from their seeds alone, on the device of the batch."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SEEDS = "seeds"  # the column of a training batch with a number for each row, to draw from
BITS = 64
SHIFTS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
GOLDEN = 0x9E3779B97F4A7C15
PRECISION = 24  # bits of a number, which float32 holds exactly


class Stream(IntEnum):
    """What draws: two streams have different numbers from the same seeds."""

    AUGMENT = 1
    MIX = 2
    MASK = 3


def row_seeds(seed: int, epoch: int, rows: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return a number for each row, `(rows,)`, that seed, epoch and row alone decide, to draw from.

    Source: as for `uniform`.
    """
    mixed = torch.full((len(rows),), _signed(seed))
    for part in (epoch, torch.from_numpy(np.ascontiguousarray(rows))):
        mixed = _mixed(mixed * _signed(GOLDEN) + part + _signed(GOLDEN))
    seeds: NDArray[np.int64] = _shifted(mixed, 1).numpy()
    return seeds


def uniform(seeds: torch.Tensor, count: int, stream: Stream) -> torch.Tensor:
    """Return numbers in [0, 1) that each row's seed decides, whatever the other rows are.

    Nothing waits for the device. Source: SplitMix64, Steele et al. 2014, doi:10.1145/2660193.2660195.

    Args:
        seeds: Of the rows, int64 `(batch,)`.
        count: Numbers for each row.
        stream: What they are for.

    Returns:
        float32 `(batch, count)`.
    """
    start = _mixed(seeds ^ _signed(int(stream) * GOLDEN))[:, None]
    steps = torch.tensor([_signed((i + 1) * GOLDEN) for i in range(count)], device=seeds.device)
    return _shifted(_mixed(start + steps), BITS - PRECISION).float().div_(2**PRECISION)


def _mixed(numbers: torch.Tensor) -> torch.Tensor:
    for shift, factor in SHIFTS:
        numbers = (numbers ^ _shifted(numbers, shift)) * _signed(factor)
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: torch.Tensor, by: int) -> torch.Tensor:
    """Shift right as if the numbers had no sign, which torch's own shift copies."""
    return (numbers >> by) & ((1 << (BITS - by)) - 1)


def _signed(number: int) -> int:
    number %= 1 << BITS
    return number - (1 << BITS) if number >> (BITS - 1) else number


def inside_box(sizes: Sequence[int], low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Return which positions lie in a box: for pictures `(batch, height, width)`, for waves `(batch, samples)`.

    Args:
        sizes: Positions along each dimension.
        low: Where the box begins, as shares of the sizes, `(batch, dimensions)`.
        high: Where it ends.
    """
    inside = torch.ones((), dtype=torch.bool, device=low.device)
    for dimension, size in enumerate(sizes):
        middles = (torch.arange(size, device=low.device) + 0.5) / size
        within = (middles >= low[:, dimension, None]) & (middles < high[:, dimension, None])
        shape = [len(low), *(size if each == dimension else 1 for each in range(len(sizes)))]
        inside = inside & within.view(shape)
    return inside
