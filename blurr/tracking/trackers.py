"""Choose where a run is recorded besides its folder, and open it there."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from blurr.config.annotations import Natural
from blurr.process import signals as interruption
from blurr.runs import folder as files
from blurr.runs.journal import begun
from blurr.runs.secrets import mask_overrides
from blurr.tracking.processes import this_process
from blurr.tracking.run import Run
from blurr.tracking.sink import Sink, named_tags


class Tracker(Protocol):
    """What `conf/tracking` instantiates."""

    def open(self, *, run_id: str | None = None, tags: Mapping[str, str] | None = None) -> Sink:
        """Open a new run, with these tags from its first moment on, or go on with one; or raise a BlurrError."""
        ...

    def find(self, identity: str) -> str | None:
        """Return the id of the run with this identity, where a killed process has opened it and not said so."""
        ...

    def prepare(self) -> None:
        """Load what opening a run needs, and leave nothing open: this process is going to be forked."""
        ...


@dataclass
class MLflowTracker:
    """Record runs in MLflow.

    Attributes:
        uri: `sqlite:///<file>` (relative to the launch directory; artifacts go to `mlartifacts/` beside it), the
            address of a server (`http://…`), or another address that MLflow knows.
        experiment: name of the MLflow experiment; made where it is missing.
        run_name: name of the run; null lets MLflow invent one.
        tags: tags of the run besides blurr's own.
        system_metrics: whether to sample CPU, memory, disk and GPU load every ten seconds.
        wait: seconds without an answer after which the end of a run no longer waits for MLflow.
    """

    uri: str = "sqlite:///mlflow.db"
    experiment: str = "blurr"
    run_name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    system_metrics: bool = False
    wait: Natural = 30

    def open(self, *, run_id: str | None = None, tags: Mapping[str, str] | None = None) -> Sink:
        """Open an MLflow run, or go on with the one of this id.

        Raises:
            InputError: the store cannot be used.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read once, when MLflow is imported
        from blurr.tracking.mlflow_sink import MLflowSink  # MLflow takes seconds to import

        return MLflowSink(self, run_id=run_id, tags=tags or {})

    def find(self, identity: str) -> str | None:
        """Return MLflow's id of the run with this identity, see `Tracker.find`."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from blurr.tracking.store import run_with

        found = run_with(identity, self.uri)
        return found.info.run_id if found else None

    def prepare(self) -> None:
        """Load MLflow and make the store, and keep no connection to it.

        Raises:
            InputError: the store cannot be used.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from blurr.tracking.mlflow_sink import prepare

        prepare(self)


@dataclass
class NoTracker:
    """Keep no record besides the files in the run's folder."""

    def open(self, *, run_id: str | None = None, tags: Mapping[str, str] | None = None) -> Sink:
        """Return a sink that drops everything."""
        return Sink()

    def find(self, identity: str) -> str | None:
        """Return None."""
        return None

    def prepare(self) -> None:
        """There is nothing to load."""


@contextmanager
def tracked_run(
    tracker: Tracker,
    *,
    folder: Path,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    tags: Mapping[str, str],
    kept: int | None = None,
    identity: str | None = None,
) -> Iterator[Run]:
    """Open a run for the duration of a `with` block.

    The block's end decides the status: FINISHED; FAILED after an exception, with the traceback in error.txt;
    KILLED after Ctrl-C, SIGTERM or SIGUSR1. What was logged until then is kept in each case.

    Args:
        tracker: an MLflowTracker or a NoTracker.
        folder: the output folder; made where it is missing.
        config: the resolved configuration, as plain dicts, lists and scalars. Secrets in it are not recorded.
        overrides: what the user gave on the command line.
        tags: blurr's tags, such as `task` and `model`.
        kept: to go on with the run of this folder, the bytes of its metrics.jsonl that stay; None opens a new run.
        identity: of a new run; None makes one.

    Raises:
        InputError: the address of MLflow is wrong, or its experiment was deleted.
        ResourceError: MLflow cannot be used, or the folder cannot be written.
    """
    tags = {**tags, **this_process()}
    goes_on = kept is not None
    journal = begun(folder, identity, mask_overrides(overrides), goes_on=goes_on)
    with interruption.handled():
        run_id = journal.run_id or (tracker.find(str(journal.identity)) if goes_on else None)
        sink = tracker.open(run_id=run_id, tags=named_tags({**tags, files.IDENTITY: str(journal.identity)}))
        with Run(folder, sink, kept=kept, identity=journal.identity) as run:
            if run_id is None or not (folder / files.ENVIRONMENT).exists():
                run.describe(config, overrides, tags)
            else:
                run.tag(resumed=time.strftime("%Y-%m-%d %H:%M:%S"), identity=run.identity, **this_process())
            yield run
