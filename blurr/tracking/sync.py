"""Send MLflow the records of a run's folder that it has not received."""

import logging
import shlex
from itertools import islice
from pathlib import Path

from blurr.config.destinations import STORE, is_named
from blurr.errors import InputError
from blurr.runs.folder import METRICS
from blurr.runs.journal import Journal, written_points
from blurr.runs.jsonlines import flatten, stream_lines
from blurr.runs.record import Record, check_links
from blurr.runs.secrets import MASK
from blurr.tracking.processes import HOST, PROCESS, is_dead, this_process
from blurr.tracking.run import send_again
from blurr.tracking.sink import MOST_ROWS
from blurr.tracking.trackers import MLflowTracker

log = logging.getLogger(__name__)
WAIT_SECONDS = 60


def sync(folder: Path, *, uri: str | None = None) -> int:
    """Send parameters, tags, metrics, tables, artifacts and the status of a run to MLflow.

    Metrics that MLflow has are skipped; everything else is replaced by the same content.

    Args:
        folder: the run's folder.
        uri: address of MLflow; None takes the one that the run was opened with.

    Returns:
        The number of records that did not arrive.

    Raises:
        InputError: the folder has no run, the run has not ended, MLflow refuses it, or only the record says where it is
            to be sent.
        ResourceError: MLflow does not answer.
    """
    journal = Journal.read(folder)
    address = uri or journal.uri
    if journal.run_id is None or address is None:
        raise InputError(f"The run in {folder} was made with tracking=none; there is nothing to send.")
    if MASK in address:
        raise InputError(f"The address {address} has a password, which is not recorded. Give all of it: --uri=…")
    if journal.status is None and _is_running(journal):
        raise InputError(f"The run in {folder} has not ended; it sends its records itself.")
    if uri is None and not is_named(STORE, address):
        raise InputError(
            f"The record in {folder} says that its values go to {address}, which neither your options nor your "
            f"environment name. If you want them there, say so: {shlex.join(['blurr', 'track', 'sync', str(folder)])} "
            f"--uri={shlex.quote(address)}"
        )
    check_links(folder)
    record = Record(folder)
    config, names = flatten(record.config), [Path(each).name for each in journal.tables]
    found = {name: file for name in names if (file := record.file(f"{name}.jsonl"))}
    tables = {name: list(islice(stream_lines(file), MOST_ROWS)) for name, file in found.items()}
    # all of it is read before anything is sent
    if record.file(METRICS) is not None:
        list(written_points(folder))
    tracker = MLflowTracker(uri=address, experiment=str(journal.experiment), wait=WAIT_SECONDS)
    sink = tracker.open(run_id=journal.run_id)
    outside = send_again(sink, folder, journal, config=config, tables=tables)
    for name in outside:
        log.warning("Not sent: %s, which lies outside of the run's folder.", name)
    return sink.close(journal.status or "FAILED", ended=journal.ended) + len(outside)


def _is_running(journal: Journal) -> bool:
    """Is the process that wrote the journal alive? One on another host may be."""
    return journal.tags.get(HOST) != this_process()[HOST] or not is_dead(journal.tags.get(PROCESS, ""))
