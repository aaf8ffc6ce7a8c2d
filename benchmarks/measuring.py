"""Measure contestants side by side on a busy machine: in turn, in a processor's seconds, by medians of ratios."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

Seconds = dict[str, list[float]]


def alternate(ways: Mapping[str, Callable[[], float]], *, repeats: int) -> Seconds:
    """Let each way run in turn, so often; an odd number of rounds keeps the first, which is slow, out of the median.

    Args:
        ways: name to a function that gives what it measured.
        repeats: rounds.
    """
    rounds = [{name: way() for name, way in ways.items()} for _ in range(repeats)]
    return {name: [each[name] for each in rounds] for name in ways}


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Give the median of the ratios of each round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def seconds() -> float:
    """Read the clock that counts: a processor's, or the wall's where a GPU computes, once it has done its work."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(call: Callable[[], object]) -> float:
    """Give the seconds that a call took, see `seconds`."""
    start = seconds()
    call()
    return seconds() - start


def machine() -> str:
    """Say when and on what something was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    day = datetime.now(UTC).date()
    return f"{day}, {name}, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} thread"
