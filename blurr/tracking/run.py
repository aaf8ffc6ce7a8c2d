"""Record a run into its folder and a sink, and close it with the status that it earned."""

import logging
import shlex
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import yaml

import blurr
from blurr.config.destinations import STORE, is_named
from blurr.errors import ResourceError
from blurr.runs import folder as files
from blurr.runs.checksums import file_checksum, write_whole
from blurr.runs.journal import Journal, MetricsFile, Point, journal_of, overrides_text, writing, written_points
from blurr.runs.jsonlines import flatten, to_json
from blurr.runs.record import Record, Rows
from blurr.runs.secrets import mask_config, mask_overrides, mask_text
from blurr.tracking.environment import describe_environment, git_state
from blurr.tracking.processes import status_of
from blurr.tracking.sink import MOST_ROWS, ModelForm, Sink, named_tags

if TYPE_CHECKING:
    from blurr.data.core import RawData

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0  # MLflow takes 5 ms to log one value by itself


class Run:
    """An open run: everything logged goes to `folder` and to the sink.

    Args:
        folder: the run's output folder; it exists.
        sink: receives every record, too.
        kept: bytes of metrics.jsonl that a resumed run keeps; None for a new run.
        identity: identity of a new run, see `runs.folder`; None creates one.

    Attributes:
        id: MLflow's id of the run; None without MLflow, as the next three.
        name: MLflow's name of the run.
        url: address of the run's page while the server or `ui_command` runs.
        ui_command: shell command that starts the MLflow UI on this store; None if nothing has to be started.
        identity: the run's identity.
        step: the optimizer step of the last value logged.
        tags: the tags set so far.
    """

    def __init__(self, folder: Path, sink: Sink, *, kept: int | None = None, identity: str | None = None) -> None:
        self.folder, self.step = folder, 0
        self.tags: dict[str, str] = {}
        self._sink = sink
        self.id, self.name, self.url, self.ui_command = sink.id, sink.name, sink.url, sink.ui_command
        self._rows: list[tuple[int, float, dict[str, Any]]] = []
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._journal = journal_of(folder, identity, goes_on=kept is not None)
        if sink.id is not None:
            self._journal.run_id, self._journal.uri, self._journal.experiment = sink.id, sink.uri, sink.experiment
        self._journal.checksums.pop(files.METRICS, None)  # until it is whole again
        self._journal.write(folder)
        self.identity = str(self._journal.identity)
        self._metrics = MetricsFile(folder, self.identity)
        if kept is not None:
            self._go_on(kept)

    def _go_on(self, kept: int) -> None:
        """Drop the values that will be logged again, and send those that never reached the sink."""
        (self.folder / files.ERROR).unlink(missing_ok=True)
        self._metrics.cut(kept)
        self._journal.status = None
        is_described = (self.folder / files.CONFIG).exists()  # else it was killed before it wrote that
        config = flatten(Record(self.folder).config) if is_described else {}
        send_again(self._sink, self.folder, self._journal, config=config, tables={})

    def written(self) -> dict[str, int | str]:
        """Flush, and return the size of metrics.jsonl in `bytes`, and its `checksum`."""
        self.flush()
        return {"bytes": self._metrics.size, "checksum": file_checksum(self.folder / files.METRICS)}

    def log(self, values: Mapping[str, Any], *, step: int, at: float | None = None) -> None:
        """Record metrics; cheap, because nothing is written, sent or read from a device before the next flush.

        Args:
            values: name to number; a number may be a detached 0-d tensor.
            step: optimizer steps taken so far, over all fits of the run.
            at: seconds since 1970; None is now.
        """
        self.step = step
        self._rows.append((step, time.time() if at is None else at, dict(values)))
        if time.monotonic() >= self._flush_at:
            self.flush()

    def flush(self) -> None:
        """Write the logged values to metrics.jsonl and pass them to the sink."""
        rows, self._rows = self._rows, []
        read = iter(_as_floats([value for _, _, values in rows for value in values.values()]))
        numbers = [(step, int(at * 1000), dict(zip(values, read, strict=False))) for step, at, values in rows]
        self._metrics.write(numbers)
        self._sink.metrics([Point(key, value, at, step) for step, at, row in numbers for key, value in row.items()])
        self._flush_at = time.monotonic() + FLUSH_SECONDS

    def tag(self, **tags: str) -> None:
        """Set tags: `weights="scratch"` becomes `blurr.weights`; a name with a dot stays as it is."""
        named = named_tags(tags)
        self.tags.update(named)
        self._journal.tags.update(named)
        self._sink.tags(named)
        self._journal.write(self.folder)

    def log_resolved(self, **values: Any) -> None:
        """Record the value that `auto` resolved to: `batch_size=32` is the parameter `found.batch_size`, and a tag."""
        self.log_params({f"found.{name}": value for name, value in values.items()})
        self.tag(**{name: str(value) for name, value in values.items()})

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record parameters that the config does not hold."""
        self._journal.params |= {name: mask_text(str(value)) for name, value in values.items()}
        self._journal.write(self.folder)
        self._sink.params(self._journal.params)

    def dataset(self, raw: "RawData") -> None:
        """Record the schema, size, source and fingerprint of every split."""
        self._sink.datasets(raw)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file or a directory to the run's artifacts.

        Args:
            path: the file or directory.
            folder: artifact folder to put it in; a directory without one keeps its own name.
        """
        self._sink.artifact(path, folder)
        self._journal.artifacts[str(path.absolute())] = folder
        self._journal.write(self.folder)

    def model(self, folder: Path, form: ModelForm) -> None:
        """Add the folder of the trained model to the artifacts, to be loaded and served from there."""
        self._sink.model(folder, form)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows to `<folder>/<name>.jsonl`, and show them as a table in MLflow, of very many the first."""
        path = self.folder / f"{name}.jsonl"
        with writing(path), self._journal.sealing(self.folder, path.name):
            write_whole(path, (to_json(row) + "\n" for row in rows))
        self._journal.tables = sorted({*self._journal.tables, name})
        self._journal.write(self.folder)
        self._sink.table(name, rows[:MOST_ROWS])

    def write_previews(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write previews.jsonl: what a report shows of the files of rows, such as pictures."""
        self._write(files.PREVIEWS, "".join(to_json(line) + "\n" for line in lines))

    def write_facts(self, values: Mapping[str, Any]) -> None:
        """Write facts.json: what the other files do not tell."""
        self._write(files.FACTS, to_json(values, indent=2) + "\n")

    def amend(self, trial: int, **changes: Any) -> None:
        """Change the run of one of this sweep's trials; see `Sink.amend`."""
        self._sink.amend(trial, **changes)

    def finish(
        self, metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float]] = MappingProxyType({})
    ) -> None:
        """Record the final scores in metrics.json, and at the last step in MLflow; their intervals beside them."""
        if intervals:
            self._write(files.INTERVALS, to_json(dict(intervals), indent=2) + "\n")
        self.log(metrics, step=self.step)
        self.flush()
        numbers = {key: float(value) for key, value in metrics.items()}
        # Whole or not at all: a sweep counts a trial whose process was killed as finished if this file exists.
        with writing(self.folder / files.SCORES), self._journal.sealing(self.folder, files.SCORES):
            write_whole(self.folder / files.SCORES, to_json(numbers, indent=2) + "\n", flushed=True)
        self.artifact(self.folder / files.SCORES)

    def describe(self, config: Mapping[str, Any], overrides: Sequence[str], tags: Mapping[str, str]) -> None:
        """Record the configuration, overrides, environment and uncommitted changes."""
        masked = mask_config(dict(config))
        git = git_state(Path.cwd())
        self._sink.params(flatten(masked))
        self.tag(version=blurr.__version__, output_dir=str(self.folder), identity=self.identity, **tags)
        self._write(files.CONFIG, yaml.safe_dump(masked, sort_keys=False, allow_unicode=True))
        self._write(files.OVERRIDES, overrides_text(mask_overrides(overrides)))
        self._write(files.ENVIRONMENT, to_json(describe_environment(git), indent=2) + "\n")
        if git:
            self._sink.tags({"mlflow.source.git.commit": git.commit})
            if git.diff:
                self._write(files.DIFF, mask_text(git.diff))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
            self._sink.settle()  # a signal that arrives while the last files are sent still decides the status
        except BaseException as late:
            if error is None or not isinstance(late, ResourceError):  # else the run's own error says more
                error = error or late
                raise
        finally:
            self._close(error)

    def _close(self, error: BaseException | None) -> None:
        self._journal.status = status = status_of(error)
        self._journal.ended = int(time.time() * 1000)
        try:
            if status == "FAILED" and error is not None:
                self.tag(error=f"{type(error).__name__}: {error}")
                self._write(files.ERROR, mask_text("".join(traceback.format_exception(error))))
            self._metrics.close()
            self._journal.seal(self.folder, files.METRICS)
        except ResourceError as late:
            if error is None:
                raise
            log.debug("%s", late)  # the run's own error says more than that its end cannot be written
        finally:  # the sink is closed even if the disk is full
            left = self._sink.close(status)
        if left:
            uri, folder = self._sink.uri, shlex.quote(str(self.folder))
            said = "" if uri is None or is_named(STORE, uri) else f" --uri={shlex.quote(uri)}"
            log.warning("%d records did not reach MLflow. To send them: blurr track sync %s%s", left, folder, said)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        with writing(path), self._journal.sealing(self.folder, name):
            write_whole(path, text)
        self.artifact(path)


def _as_floats(values: Sequence[Any]) -> list[float]:
    """Return numbers and 0-d tensors as floats; tensors of one kind are fetched from their device at once."""
    if all(isinstance(value, int | float) for value in values):
        return list(map(float, values))
    import torch  # whoever gives tensors has loaded it

    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if len({(tensor.device, tensor.dtype) for tensor in tensors}) != 1:
        return list(map(float, values))
    read = iter(torch.stack(tensors).tolist())
    return [float(next(read) if isinstance(value, torch.Tensor) else value) for value in values]


def send_again(
    sink: Sink, folder: Path, journal: Journal, *, config: Mapping[str, Any], tables: Mapping[str, Rows]
) -> list[str]:
    """Send the records of a run, of which a killed process may have sent a part; MLflow keeps each once.

    Args:
        sink: of the run, resumed; it leaves out the metrics that MLflow has.
        folder: of the run.
        journal: of the run.
        config: of the run, flat.
        tables: by name.

    Returns:
        The files that were not sent, because they lie outside of the folder: somebody else's record may name any.
    """
    sink.params(config)
    sink.params(journal.params)
    sink.tags(journal.tags)
    if (folder / files.METRICS).exists():
        for points in written_points(folder):
            sink.metrics(points)
    for name, rows in tables.items():
        sink.table(name, rows)
    outside = [name for name in journal.artifacts if not Path(name).resolve().is_relative_to(folder.resolve())]
    for name in journal.artifacts.keys() - outside:
        sink.artifact(Path(name), journal.artifacts[name])
    return outside
