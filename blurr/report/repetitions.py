"""Put finished runs that differ in a seed or fold alone into one row, with means and standard deviations."""

import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blurr.runs.folder import LEDGER
from blurr.runs.jsonlines import flatten
from blurr.runs.naming import differences, is_repeated
from blurr.runs.record import Record, Rows

# Keys of a config that say where a run is recorded, and those that a sweep's trials may differ in.
APART = ("output_dir", "resume", "overwrite", "report", "threads")
APART_GROUPS = ("tracking.", "checkpoint.", "debug")
DEVIATION = " ±"  # follows the name of a metric in that of its deviation's column


@dataclass(frozen=True)
class Finished:
    """A finished run as a leaderboard sees it.

    Attributes:
        name: its folder or id.
        subject: what it trained.
        differs: what its command line changed.
        shared: what it has in common with those that differ from it in seeds and folds alone.
        seeds: its seeds and folds.
        scores: its final metrics.
    """

    name: str
    subject: str
    differs: tuple[str, str]
    shared: Hashable
    seeds: Hashable
    scores: Mapping[str, float]


def finished(record: Record, name: str) -> Finished:
    """Return the run of a record."""
    flat = flatten(record.config)
    sweep = str(record.folder.parent) if (record.folder.parent / LEDGER).is_file() else ""
    words = record.overrides
    return Finished(
        name=name,
        subject=record.subject or record.title,
        differs=(differences(words), differences(words, with_repeated=False)),
        shared=(sweep, record.subject, shared_part(flat)),
        seeds=repeated_part(flat),
        scores=record.scores,
    )


def shared_part(flat: Mapping[str, str]) -> Hashable:
    """Return the part of a flat config that is the same for all repetitions."""
    kept = {k: v for k, v in flat.items() if not is_repeated(k) and k not in APART and not k.startswith(APART_GROUPS)}
    return tuple(sorted((key, str(value)) for key, value in kept.items()))


def repeated_part(flat: Mapping[str, str]) -> Hashable:
    """Return the seeds and folds of a flat config."""
    return tuple(sorted((key, str(value)) for key, value in flat.items() if is_repeated(key)))


def grouped(runs: Sequence[Finished]) -> list[list[Finished]]:
    """Group runs that differ in seeds and folds alone; a run with the same seeds again begins another group."""
    groups: dict[tuple[Hashable, int], list[Finished]] = defaultdict(list)
    seen: dict[Hashable, int] = defaultdict(int)
    for run in runs:
        groups[run.shared, seen[run.shared, run.seeds]].append(run)
        seen[run.shared, run.seeds] += 1
    return list(groups.values())


def rows_of(runs: Sequence[Finished]) -> Rows:
    """Return a row for each group: `run`, `what`, `differs`, `n`, the means, and the deviation beside each of them."""
    return [_row(group) for group in grouped(runs)]


def _row(group: Sequence[Finished]) -> dict[str, object]:
    is_one = len(group) == 1
    row: dict[str, object] = {
        "run": names_of([run.name for run in group]),
        "what": group[0].subject,
        "differs": group[0].differs[not is_one],
        "n": len(group),
    }
    for name in dict.fromkeys(name for run in group for name in run.scores):
        values = [run.scores[name] for run in group if name in run.scores]
        row[name] = statistics.fmean(values)
        if len(values) > 1:
            row[name + DEVIATION] = math.nan if any(map(math.isnan, values)) else statistics.stdev(values)
    return row


def names_of(names: Sequence[str]) -> str:
    """Return the names of the runs of a row: numbers of trials after their sweep, else the first and how many more."""
    first, *others = names
    parents = {Path(name).parent for name in names}
    if len(parents) == 1 and all(Path(name).name.isdecimal() for name in names):
        return f"{parents.pop()}/{','.join(sorted((Path(name).name for name in names), key=int))}"
    return f"{first} +{len(others)}" if others else first
