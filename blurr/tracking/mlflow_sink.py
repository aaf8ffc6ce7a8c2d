"""Keep a run's records in MLflow.

This module loads MLflow; import it only when a run is opened.
"""

import getpass
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.data.huggingface_dataset import from_huggingface
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS
from sqlalchemy.exc import IntegrityError

from blurr.config.store import SIDE, URI
from blurr.process.next_steps import command
from blurr.process.terminal import quiet
from blurr.runs.journal import Point
from blurr.runs.secrets import mask_text
from blurr.tracking.logged_models import add_model, delete_weights, log_model
from blurr.tracking.mlmodel import write_mlmodel
from blurr.tracking.sink import EMPTY, ERROR_TAG, PARENT, TRIAL, ModelForm, Sink
from blurr.tracking.spool import Spool
from blurr.tracking.sqlite import add_history, history_of
from blurr.tracking.store import SQLITE, STORE_ERRORS, close_stale, connect, request_limits, resolve_uri, store_failure

if TYPE_CHECKING:
    from blurr.data.core import RawData

RETRY_SECONDS = 15.0  # while the training goes on
# MLflow's limits.
MAX_METRICS, MAX_PARAMS = 1000, 100
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000
CONTEXTS = {"train": "training", "valid": "validation", "test": "testing"}  # MLflow's names of the splits


class MLflowSink(Sink):
    """An open MLflow run. Calls are queued, so that a failing store does not stop a training.

    Args:
        uri: as `tracking.uri`.
        experiment: the name of the MLflow experiment.
        run_id: the run to resume; None opens a new one.
        run_name: the name of a new run; None lets MLflow invent one.
        tags: the tags of a new run.
        system_metrics: see `MLflowTracker`.
        wait: see `MLflowTracker`.

    Raises:
        InputError: the store refuses the run; like the next error, raised before anything is trained.
        ResourceError: the store does not answer or cannot be written.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        run_id: str | None,
        run_name: str | None,
        tags: Mapping[str, str],
        system_metrics: bool,
        wait: int,
    ) -> None:
        uri = resolve_uri(uri)
        self._client, self._experiment_id = connect(uri, experiment)
        self._history = history_of(self._client)
        self._sent: dict[str, int] = {}  # per metric, how many values MLflow has from before the resume
        try:
            with request_limits(retries=1, seconds=10):
                made = self._create(run_name, tags) if run_id is None else self._resume(run_id)
        except STORE_ERRORS as error:
            said = f"MLflow at {mask_text(uri)} opened no run: {mask_text(str(error))}"
            said += (
                f" A run goes on in the store that it was begun in: tracking.uri=… or {URI} names it." if run_id else ""
            )
            raise store_failure(error, said) from error
        self.uri, self.experiment = mask_text(uri), experiment
        self.id = self._run_id = made.info.run_id
        self.name = made.info.run_name
        self.url = mask_text(f"{_server(uri)}/#/experiments/{self._experiment_id}/runs/{self.id}?{SIDE}")
        self.ui_command = _ui_command(uri)
        self._spool, self._wait = Spool(RETRY_SECONDS), wait
        self._tables: list[str] = []
        self._model: str | None = None  # the folder of the trained model among the artifacts
        self._spool.put(partial(close_stale, self._client, self._experiment_id, self._run_id))
        self._monitor = _monitor(self._run_id, uri) if system_metrics else None

    def _create(self, name: str | None, tags: Mapping[str, str]) -> Run:
        own = {"mlflow.user": _user(), "mlflow.source.name": _program(), "mlflow.source.type": "LOCAL"}
        return self._client.create_run(self._experiment_id, run_name=name, tags={**own, **tags})

    def _resume(self, run_id: str) -> Run:
        self._client.update_run(run_id, status="RUNNING")
        found = self._client.get_run(run_id)
        self._sent = {key: len(self._client.get_metric_history(run_id, key)) for key in found.data.metrics}
        return found

    def metrics(self, points: Sequence[Point]) -> None:
        """Queue metric values, up to a thousand per call, without those that a resumed run has sent before."""
        named = [Point(_key(key), value, time, step) for key, value, time, step in points]
        points = [point for point in named if not self._has(point.key)]
        for start in range(0, len(points), MAX_METRICS):
            self._spool.put(partial(self._send, points[start:][:MAX_METRICS]))

    def _send(self, points: Sequence[Point]) -> None:
        """Send metric values in their order: a resume counts those that have arrived."""
        last = {point.key: point for point in points}
        if self._history is not None and len(points) > len(last):
            try:
                add_history(self._history, self._run_id, [each for each in points if each is not last[each.key]])
                points = list(last.values())
            except IntegrityError:  # no such run any more: MLflow says it better
                pass
        metrics = [Metric(key, value, time, step) for key, value, time, step in points]
        self._client.log_batch(self._run_id, metrics=metrics, synchronous=True)

    def _has(self, key: str) -> bool:
        """Does MLflow have the next value of a metric? Values are sent in order, so it has the first ones."""
        left = self._sent.get(key, 0)
        self._sent[key] = max(0, left - 1)
        return left > 0

    def params(self, values: Mapping[str, str]) -> None:
        """Queue parameters, up to a hundred per call; long values are cut."""
        params = [Param(_key(key), _cut(value, MAX_PARAM)) for key, value in values.items()]
        for start in range(0, len(params), MAX_PARAMS):
            self._log_batch(params=params[start : start + MAX_PARAMS])

    def tags(self, tags: Mapping[str, str]) -> None:
        self._log_batch(tags=[RunTag(_key(key), _cut(value, MAX_TAG)) for key, value in tags.items()])

    def datasets(self, raw: "RawData") -> None:
        """Queue one MLflow dataset per split: schema, size, source and fingerprint."""
        inputs = [
            DatasetInput(_describe(raw, split), [InputTag("mlflow.data.context", CONTEXTS.get(split, split))])
            for split in raw.splits
        ]
        self._spool.put(partial(self._client.log_inputs, self._run_id, datasets=inputs))

    def artifact(self, path: Path, folder: str | None) -> None:
        """Queue a file for the artifact folder `folder`, or a directory as `folder` (default: its own name)."""
        if path.is_dir():
            call = partial(self._client.log_artifacts, self._run_id, str(path), folder or path.name)
        else:
            call = partial(self._client.log_artifact, self._run_id, str(path), folder)
        self._spool.put(call)

    def model(self, folder: Path, form: ModelForm) -> None:
        write_mlmodel(folder, form)
        self._spool.put(partial(add_model, self._client, self._run_id, folder))
        self._model = folder.name

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._spool.put(partial(self._log_table, f"{name}.json", pd.DataFrame(list(rows))))

    def settle(self) -> None:
        self._spool.settle(self._wait)

    def amend(
        self,
        trial: int,
        *,
        status: str | None = None,
        tags: Mapping[str, str] = EMPTY,
        artifact: Path | None = None,
        not_kept: Path | None = None,
    ) -> None:
        self._spool.put(partial(self._amend, trial, status, tags, artifact))
        if not_kept:
            self._spool.put(partial(self._delete_weights, trial, not_kept))

    def _delete_weights(self, trial: int, note: Path) -> None:
        for run in self._runs_of(trial):
            delete_weights(self._client, run.info.run_id, note)

    def _runs_of(self, trial: int) -> list[Run]:
        mine = f"tags.`{PARENT}` = '{self._run_id}' and tags.`{TRIAL}` = '{trial}'"
        return list(self._client.search_runs([self._experiment_id], mine, order_by=["attributes.start_time DESC"]))

    def _amend(self, trial: int, status: str | None, tags: Mapping[str, str], artifact: Path | None) -> None:
        found = self._runs_of(trial)
        for older in found[1:]:  # their processes were killed, and the trial was run again
            if older.info.status == "RUNNING":
                self._client.set_terminated(older.info.run_id, "KILLED")
        for run in found[:1]:
            for key, value in tags.items():
                self._client.set_tag(run.info.run_id, key, _cut(value, MAX_TAG))
            if artifact:
                self._client.log_artifact(run.info.run_id, str(artifact))
            # The run may already be closed as FAILED, by another run that found its process dead.
            if status and run.info.status != status:
                self._client.set_terminated(run.info.run_id, status)
            if status == "FINISHED" and ERROR_TAG in run.data.tags:
                self._client.delete_tag(run.info.run_id, ERROR_TAG)

    def close(self, status: str, *, ended: int | None = None) -> int:
        if self._monitor:
            self._spool.put(self._monitor.finish)  # queued, because it sends, and would wait for a server that hangs
        if self._model:  # now its folder is complete, with the model's card
            self._spool.put(partial(log_model, self._client, self._run_id, self._model))
        self._spool.put(partial(self._client.set_terminated, self._run_id, status, ended))
        self._spool.close(self._wait)
        return self._spool.left

    def _log_batch(self, **values: Any) -> None:
        self._spool.put(partial(self._client.log_batch, self._run_id, **values, synchronous=True))

    def _log_table(self, file: str, rows: pd.DataFrame) -> None:
        # MLflow's own log_table appends, so that a retry would double the rows
        self._client.log_text(self._run_id, rows.to_json(orient="split", index=False, date_format="iso"), file)
        self._tables = sorted({*self._tables, file})
        shown = [{"path": path, "type": "table"} for path in self._tables]
        self._client.set_tag(self._run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps(shown))


def prepare(uri: str, experiment: str) -> None:
    """Load and create everything that opening a run needs, and leave no connection open."""
    uri = resolve_uri(uri)
    client, _ = connect(uri, experiment)
    if not uri.startswith("http"):
        # MLflow caches the store for later clients of this process, and a fork must not share its connections
        client._tracking_client.store.engine.dispose()
    resolve_tags()  # detects the program it runs under, which loads two hundred modules


def _server(uri: str) -> str:
    return uri if uri.startswith("http") else "http://127.0.0.1:5000"  # where `blurr ui` listens


def _ui_command(uri: str) -> str | None:
    """Return the command that shows a store's pages; those of a server are there already."""
    if not uri.startswith(SQLITE):
        return None
    return command("ui") if uri == resolve_uri(None) else command("ui", "--uri", uri)


def _monitor(run_id: str, uri: str) -> SystemMetricsMonitor:
    monitor = SystemMetricsMonitor(run_id, tracking_uri=uri)  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]
    return monitor


def _describe(raw: "RawData", split: str) -> Dataset:
    """Describe one split for MLflow; a source that is a file or on the Hub can be loaded from the description."""
    names: dict[str, Any] = {"name": f"{mask_text(raw.source)} {split}"[-500:], "digest": raw.fingerprint[:36]}
    if raw.source.startswith("hub:"):
        names["path"] = raw.source.removeprefix("hub:")
    elif os.path.exists(raw.source):  # Path.exists raises if the source lists many files and is too long for a name
        names["source"] = str(Path(raw.source).absolute())
    # hints on integer columns of served models; pages of rows where a column's lists are empty, as answers may be
    with warnings.catch_warnings(), quiet(from_huggingface.__module__, level=logging.ERROR):
        warnings.simplefilter("ignore")
        return Dataset(**from_huggingface(raw.splits[split], **names).to_dict())


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    """Replace characters that MLflow does not allow in keys."""
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
