"""Send MLflow what a run's folder holds and MLflow does not."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from blurr.errors import InputError
from blurr.runs.folder import CONFIG, METRICS
from blurr.runs.journal import Journal, written_points
from blurr.runs.jsonlines import flatten, read_lines, read_whole
from blurr.runs.secrets import MASK
from blurr.tracking.processes import HOST, PROCESS, is_dead, this_process
from blurr.tracking.trackers import MLflowTracker

WAIT_SECONDS = 60


def sync(folder: Path, *, uri: str | None = None) -> int:
    """Send what a run's folder holds: parameters, tags, metrics, tables, artifacts and the status.

    Metrics that have arrived are left out; the rest is replaced by the same.

    Args:
        folder: the run's.
        uri: address of MLflow; None takes the one the run was opened with.

    Returns:
        How many records did not arrive.

    Raises:
        InputError: the folder is no run's, the run has not ended, or MLflow cannot be used.
    """
    journal = Journal.read(folder)
    address = uri or journal.uri
    if journal.run_id is None or address is None:
        raise InputError(f"The run in {folder} was made with tracking=none; there is nothing to be sent anywhere.")
    if MASK in address:
        raise InputError(f"The address {address} has a password, which is not kept. Give the whole: --uri=…")
    if journal.status is None and _is_running(journal):
        raise InputError(f"The run in {folder} has not ended; it sends its records itself.")
    tracker = MLflowTracker(uri=address, experiment=str(journal.experiment), wait=WAIT_SECONDS)
    sink = tracker.open(run_id=journal.run_id)
    sink.params(flatten(read_whole(folder / CONFIG, yaml.safe_load, dict)))
    sink.params(journal.params)
    sink.tags(journal.tags)
    if (folder / METRICS).exists():
        for points in written_points(folder):
            sink.metrics(points)
    for name in journal.tables:
        sink.table(name, read_lines(folder / f"{name}.jsonl"))
    for path, target in journal.artifacts.items():
        sink.artifact(Path(path), target)
    return sink.close(journal.status or "FAILED", ended=journal.ended)


def _is_running(journal: Journal) -> bool:
    """Is the process that made the journal alive, or on another host, where it may be?"""
    return journal.tags[HOST] != this_process()[HOST] or not is_dead(journal.tags[PROCESS])


def add_track(commands: Any) -> None:
    """Add `track` and its command to the parser of `blurr`.

    Args:
        commands: what `add_subparsers` gave.
    """
    track = commands.add_parser("track", help="send MLflow what it missed of a run: track sync <output_dir>")
    parts = track.add_subparsers(title="commands", required=True, metavar="COMMAND")
    part = parts.add_parser("sync", help="send what is in a run's folder and not in MLflow; twice does no harm")
    part.add_argument("folder", type=Path, help="the run's output_dir")
    part.add_argument("--uri", help="MLflow's address, where it has a password or has changed")
    part.set_defaults(command=_sync)


def _sync(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.tracking.sync import sync  # MLflow takes seconds to import

    left = sync(arguments.folder, uri=arguments.uri)
    terminal().print(f"{left} records were refused or did not arrive." if left else "MLflow has everything.")
    return 1 if left else 0
