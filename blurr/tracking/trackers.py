"""Where runs are recorded besides their folders, and how a run is opened there: the options of conf/tracking."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from blurr.config.annotations import Natural
from blurr.config.store import experiment_name, say_ignored, store_uri
from blurr.process import signals
from blurr.runs import folder as files
from blurr.runs.journal import begun
from blurr.runs.naming import title_of
from blurr.runs.secrets import mask_config, mask_overrides
from blurr.tracking.processes import this_process
from blurr.tracking.run import Run
from blurr.tracking.sink import DIFFERS, SUBJECT, Sink, named_tags

AUTO = "auto"  # the value of `tracking.run_name` that names a run by what it is


class Tracker(Protocol):
    """What `conf/tracking` instantiates."""

    def open(self, *, run_id: str | None = None, tags: Mapping[str, str] | None = None) -> Sink:
        """Open a new run that has these tags from the start, or resume one.

        Raises:
            InputError: the store refuses the run.
            ResourceError: the store does not answer or cannot be written.
        """
        ...

    def find(self, identity: str) -> str | None:
        """Return the id of the run with this identity; None unless a killed process opened one without noting it."""
        ...

    def prepare(self) -> None:
        """Load what opening a run needs, and leave nothing open: this process is about to be forked."""
        ...


@dataclass
class MLflowTracker:
    """Record runs in MLflow.

    Attributes:
        uri: `sqlite:///<file>` (relative to the launch directory; artifacts go to `mlartifacts/` beside it), the
            address of a server (`http://…`), or another address that MLflow accepts; for None see `config.store`.
        experiment: name of the MLflow experiment, created if it does not exist; for None see `config.store`.
        run_name: name of the run; `auto` names it by checkpoint, data and what differs, null lets MLflow invent one.
        tags: tags of the run in addition to blurr's own.
        system_metrics: whether to sample CPU, memory, disk and GPU load every ten seconds.
        wait: seconds without an answer after which the end of a run no longer waits for MLflow.
    """

    uri: str | None = None
    experiment: str | None = None
    run_name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    system_metrics: bool = False
    wait: Natural = 30

    def open(self, *, run_id: str | None = None, tags: Mapping[str, str] | None = None) -> Sink:
        """Open an MLflow run, or resume the one with this id; see `Tracker.open`."""
        _silence_telemetry()
        say_ignored()
        from blurr.tracking.mlflow_sink import MLflowSink  # MLflow takes seconds to import

        tags = {**{str(key): mask_config(str(value), str(key)) for key, value in self.tags.items()}, **(tags or {})}
        return MLflowSink(
            store_uri(self.uri),
            experiment_name(self.experiment),
            run_id=run_id,
            # a sweep names its runs by a tag, which says more than the tracker's name
            run_name=tags.get("mlflow.runName", self._name(tags)),
            tags=tags,
            system_metrics=self.system_metrics,
            wait=self.wait,
        )

    def _name(self, tags: Mapping[str, str]) -> str | None:
        if self.run_name != AUTO:
            return self.run_name
        return title_of(tags.get(SUBJECT, ""), tags.get(DIFFERS, "")) or None

    def find(self, identity: str) -> str | None:
        """Return MLflow's id of the run with this identity; see `Tracker.find`."""
        _silence_telemetry()
        from blurr.tracking.store import run_with

        found = run_with(identity, self.uri)
        return found.info.run_id if found else None

    def prepare(self) -> None:
        """Load MLflow and create the store, and keep no connection to it; see `Tracker.prepare`."""
        _silence_telemetry()
        from blurr.tracking.mlflow_sink import prepare

        prepare(store_uri(self.uri), experiment_name(self.experiment))


def _silence_telemetry() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reads it once, when it is imported


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
        """Do nothing: there is nothing to load."""


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

    The end of the block decides the status: FINISHED; FAILED after an exception, with the traceback in error.txt;
    KILLED after Ctrl-C or another signal of `signals.SIGNALS`. Whatever was logged until then is kept.

    Args:
        tracker: an MLflowTracker or a NoTracker.
        folder: the output folder; created if missing.
        config: the resolved configuration, as plain dicts, lists and scalars. Secrets in it are not recorded.
        overrides: what the command line changed.
        tags: blurr's tags, such as `task` and `model`.
        kept: bytes of metrics.jsonl to keep when the run of this folder is resumed; None opens a new run.
        identity: identity of a new run; None creates one.

    Raises:
        InputError: the address of MLflow is wrong, or its experiment was deleted.
        ResourceError: MLflow cannot be used, or the folder cannot be written.
    """
    given: dict[str, Any] = {"folder": folder, "config": config, "overrides": overrides, "tags": tags}
    with signals.handled(), recorded_run(tracker, **given, kept=kept, identity=identity) as run:
        yield run


@contextmanager
def recorded_run(
    tracker: Tracker,
    *,
    folder: Path,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    tags: Mapping[str, str],
    kept: int | None = None,
    identity: str | None = None,
) -> Iterator[Run]:
    """Open a run as `tracked_run` does, and leave signals to the process, as a notebook's kernel has its own way."""
    tags = {**tags, **this_process()}
    goes_on = kept is not None
    journal = begun(folder, identity, mask_overrides(overrides), goes_on=goes_on)
    run_id = journal.run_id or (tracker.find(str(journal.identity)) if goes_on else None)
    sink = tracker.open(run_id=run_id, tags=named_tags({**tags, files.IDENTITY: str(journal.identity)}))
    with Run(folder, sink, kept=kept, identity=journal.identity) as run:
        if run_id is None or not (folder / files.ENVIRONMENT).exists():
            run.describe(config, overrides, tags)
        else:
            run.tag(resumed=time.strftime("%Y-%m-%d %H:%M:%S"), identity=run.identity, **this_process())
        yield run
