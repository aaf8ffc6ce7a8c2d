"""Keep a run's records in MLflow.

This module loads MLflow; import it only where a run is opened.
"""

import getpass
import re
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.data.huggingface_dataset import from_huggingface
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking.context.registry import resolve_tags

from blurr.errors import InputError
from blurr.tracking.masking import mask_text
from blurr.tracking.sink import EMPTY, PARENT, TRIAL, Point, Sink
from blurr.tracking.spool import Spool
from blurr.tracking.store import SQLITE, STORE_ERRORS, connect, request_limits, resolve_uri

if TYPE_CHECKING:
    from blurr.data.core import RawData
    from blurr.tracking.run import MLflowTracker

# MLflow's limits.
MAX_METRICS, MAX_PARAMS = 1000, 100
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000
CONTEXTS = {"train": "training", "valid": "validation", "test": "testing"}  # MLflow's words for the splits


class MLflowSink(Sink):
    """An MLflow run that is open. Calls are queued, so that a store that fails does not stop a training.

    Args:
        tracker: what the user set under `tracking`.
        run_id: of the run to go on with; None opens a new one.
        tags: of the new run, besides the user's.

    Raises:
        InputError: the store cannot be used; raised before anything is trained.
    """

    def __init__(self, tracker: "MLflowTracker", *, run_id: str | None, tags: Mapping[str, str]) -> None:
        uri = resolve_uri(tracker.uri)
        self._client, self._experiment_id = connect(uri, tracker.experiment)
        own = {str(key): mask_text(str(value)) for key, value in tracker.tags.items()}
        own |= {"mlflow.user": _user(), "mlflow.source.name": _program(), "mlflow.source.type": "LOCAL"}
        # A name among the tags is that of the sweep or trial, which tells more than the tracker's.
        name = tags.get("mlflow.runName", tracker.run_name)
        try:
            with request_limits(retries=1, seconds=10):
                if run_id is None:
                    made = self._client.create_run(self._experiment_id, run_name=name, tags={**own, **tags})
                else:
                    self._client.update_run(run_id, status="RUNNING")
                    made = self._client.get_run(run_id)
        except STORE_ERRORS as error:
            raise InputError(f"MLflow at {mask_text(uri)} opened no run: {mask_text(str(error))}") from error
        self.id = self._run_id = made.info.run_id
        self.name = made.info.run_name
        self.url = mask_text(f"{_server(uri)}/#/experiments/{self._experiment_id}/runs/{self.id}")
        self.ui_command = _ui_command(uri)
        self._sent = {} if run_id is None else self._last_steps(list(made.data.metrics))
        self._spool = Spool()
        self._monitor = _monitor(self._run_id, uri) if tracker.system_metrics else None

    def metrics(self, points: Sequence[Point]) -> None:
        """Queue metric values, at most a thousand a call; those that a resumed run has sent before are left out."""
        points = [point for point in points if point.step > self._sent.get(point.key, -1)]
        for start in range(0, len(points), MAX_METRICS):
            batch = [Metric(_key(key), value, time, step) for key, value, time, step in points[start:][:MAX_METRICS]]
            self._log_batch(metrics=batch)

    def _last_steps(self, keys: Sequence[str]) -> dict[str, int]:
        return {key: max(value.step for value in self._client.get_metric_history(self._run_id, key)) for key in keys}

    def params(self, values: Mapping[str, str]) -> None:
        """Queue parameters, a hundred a call; long values are cut."""
        params = [Param(_key(key), _cut(value, MAX_PARAM)) for key, value in values.items()]
        for start in range(0, len(params), MAX_PARAMS):
            self._log_batch(params=params[start : start + MAX_PARAMS])
        self._spool.send()

    def tags(self, tags: Mapping[str, str]) -> None:
        """Send tags."""
        self._log_batch(tags=[RunTag(_key(key), _cut(value, MAX_TAG)) for key, value in tags.items()])
        self._spool.send()

    def datasets(self, raw: "RawData") -> None:
        """Send one MLflow dataset for each split: schema, size, source and fingerprint."""
        self._spool.put(partial(self._log_inputs, raw))
        self._spool.send()

    def artifact(self, path: Path, folder: str | None) -> None:
        """Send a file into `folder` of the artifacts, or a directory as `folder` (default: its own name)."""
        if path.is_dir():
            call = partial(self._client.log_artifacts, self._run_id, str(path), folder or path.name)
        else:
            call = partial(self._client.log_artifact, self._run_id, str(path), folder)
        self._spool.put(call)
        self._spool.send()

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Send rows that MLflow's UI shows as a table."""
        self._spool.put(partial(self._log_table, f"{name}.json", pd.DataFrame(list(rows))))
        self._spool.send()

    def send(self) -> None:
        """Send what is queued."""
        self._spool.send()

    def amend(
        self, trial: int, *, status: str | None = None, tags: Mapping[str, str] = EMPTY, artifact: Path | None = None
    ) -> None:
        """Change the last run of a trial that has this run as its parent; an older one that is open is KILLED."""
        self._spool.put(partial(self._amend, trial, status, tags, artifact))
        self._spool.send()

    def _amend(self, trial: int, status: str | None, tags: Mapping[str, str], artifact: Path | None) -> None:
        mine = f"tags.`{PARENT}` = '{self._run_id}' and tags.`{TRIAL}` = '{trial}'"
        found = self._client.search_runs([self._experiment_id], mine, order_by=["attributes.start_time DESC"])
        for older in found[1:]:
            if older.info.status == "RUNNING":
                self._client.set_terminated(older.info.run_id, "KILLED")
        for run in found[:1]:
            for key, value in tags.items():
                self._client.set_tag(run.info.run_id, key, _cut(value, MAX_TAG))
            if artifact:
                self._client.log_artifact(run.info.run_id, str(artifact))
            if status and run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, status)

    def close(self, status: str) -> None:
        """Send what is still queued and end the run as FINISHED, FAILED or KILLED."""
        if self._monitor:
            self._monitor.finish()  # type: ignore[no-untyped-call]
        self._spool.put(partial(self._client.set_terminated, self._run_id, status))
        self._spool.send_last()

    def _log_batch(self, **values: Any) -> None:
        self._spool.put(partial(self._client.log_batch, self._run_id, **values, synchronous=True))

    def _log_inputs(self, raw: "RawData") -> None:
        inputs = [
            DatasetInput(_describe(raw, split), [InputTag("mlflow.data.context", CONTEXTS.get(split, split))])
            for split in raw.splits
        ]
        self._client.log_inputs(self._run_id, datasets=inputs)

    def _log_table(self, file: str, rows: pd.DataFrame) -> None:
        with warnings.catch_warnings():  # MLflow 3.17 calls select_dtypes in a way that pandas 3 deprecates
            warnings.simplefilter("ignore")
            self._client.log_table(self._run_id, data=rows, artifact_file=file)


def prepare(tracker: "MLflowTracker") -> None:
    """Load and make all that opening a run needs, and leave no connection open."""
    uri = resolve_uri(tracker.uri)
    client, _ = connect(uri, tracker.experiment)
    if not uri.startswith("http"):
        # MLflow keeps the store for later clients of this process; a connection must not be shared by a fork.
        client._tracking_client.store.engine.dispose()
    resolve_tags()  # looks for the programs it may run under, which loads two hundred modules


def _server(uri: str) -> str:
    return uri if uri.startswith("http") else "http://127.0.0.1:5000"  # where `mlflow ui` listens


def _ui_command(uri: str) -> str | None:
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}" if uri.startswith(SQLITE) else None


def _monitor(run_id: str, uri: str) -> SystemMetricsMonitor:
    monitor = SystemMetricsMonitor(run_id, tracking_uri=uri)  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]
    return monitor


def _describe(raw: "RawData", split: str) -> Dataset:
    """Build MLflow's record of one split; the source can be read back where it is a file or on the Hub."""
    names: dict[str, Any] = {"name": f"{mask_text(raw.source)} {split}"[-500:], "digest": raw.fingerprint[:36]}
    if raw.source.startswith("hub:"):
        names["path"] = raw.source.removeprefix("hub:")
    elif Path(raw.source).exists():
        names["source"] = str(Path(raw.source).absolute())
    with warnings.catch_warnings():  # hints on how to declare integer columns of served models
        warnings.simplefilter("ignore")
        return Dataset(**from_huggingface(raw.splits[split], **names).to_dict())


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    """Replace characters that MLflow refuses in keys."""
    return re.sub(r"[^\w./ :-]", "_", name)[:MAX_KEY]


def _cut(value: str, length: int) -> str:
    return value if len(value) <= length else value[: length - 1] + "…"


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container whose user id has no name
        return "unknown"


def _program() -> str:
    return Path(sys.argv[0]).name or "notebook"
