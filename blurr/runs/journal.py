"""What a run has recorded, kept in its folder: enough to send to MLflow again what never arrived there."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from blurr import errors
from blurr.errors import InputError
from blurr.runs.checksums import write_whole
from blurr.runs.folder import IDENTITY, METRICS, OVERRIDES, RECORD, new_identity, of_line
from blurr.runs.jsonlines import to_json
from blurr.tracking.sink import Point, Sink

REMEDY = (
    "Make room, or choose another output_dir. A checkpoint that is there already stays whole: "
    "resume=<the run's folder> goes on from it."
)


def writing(path: Path) -> errors.writing:
    """Answer a file of a run that cannot be written, with a ResourceError."""
    return errors.writing(path, REMEDY)


@dataclass
class Journal:
    """All of a run but its files and metrics, which lie beside it.

    Attributes:
        identity: of the run; None where an earlier blurr has written it.
        run_id: MLflow's; None without MLflow.
        uri: of the store, without a password; None without MLflow.
        experiment: its name in MLflow.
        status: what the run ended as; None while it is open, and for ever where its process was killed.
        ended: milliseconds since 1970.
        tags: all that were set.
        params: what the run found out for itself; the others are its config.
        artifacts: path of each file and folder that was recorded, with the folder of the artifacts that it went to.
        tables: names of the tables, each the stem of a .jsonl file.
    """

    identity: str | None = None
    run_id: str | None = None
    uri: str | None = None
    experiment: str | None = None
    status: str | None = None
    ended: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str | None] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """Read the journal of a run's folder.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        path = folder / RECORD
        if not path.is_file():
            raise InputError(f"{folder} is no folder of a run: it has no {RECORD}. Give the output_dir of one.")
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} is not what blurr wrote: {error}. Its other files stay as they are.") from error

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            ResourceError: it cannot be written.
        """
        with writing(folder / RECORD):
            write_whole(folder / RECORD, to_json(asdict(self), indent=2) + "\n")


def begun(folder: Path, identity: str | None, words: Sequence[str], *, goes_on: bool) -> Journal:
    """Return the journal of a run, new or gone on with, after it says on the disk whose the folder is.

    A run that is killed in its first moments is found by this, and by the words that it was begun with.

    Args:
        folder: of the run; made where it is missing.
        identity: of the run, unless its journal has one; None makes one.
        words: that it was begun with, without secrets.
        goes_on: the run is there already.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    journal = _journal(folder, identity, goes_on=goes_on)
    journal.write(folder)
    if not (goes_on and (folder / OVERRIDES).exists()):
        with writing(folder / OVERRIDES):
            write_whole(folder / OVERRIDES, words_text(words))
    return journal


def opened(folder: Path, sink: Sink, identity: str | None, *, goes_on: bool) -> Journal:
    """Return the journal of a run, after it says on the disk which run of the sink's it is; see `begun`."""
    journal = _journal(folder, identity, goes_on=goes_on)
    if sink.id is not None:
        journal.run_id, journal.uri, journal.experiment = sink.id, sink.uri, sink.experiment
    journal.write(folder)
    return journal


def _journal(folder: Path, identity: str | None, *, goes_on: bool) -> Journal:
    journal = Journal.read(folder) if goes_on and (folder / RECORD).exists() else Journal()
    journal.identity = journal.identity or identity or new_identity()
    return journal


def words_text(words: Sequence[str]) -> str:
    """Return the words of a command line as overrides.yaml has them."""
    return str(yaml.safe_dump(list(words), allow_unicode=True))


class MetricsFile:
    """The file metrics.jsonl of a run that is open.

    Args:
        folder: of the run.
        identity: of the run, which the first line says.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._path, self._identity = folder / METRICS, identity
        with writing(self._path):
            self._file = self._path.open("a", encoding="utf-8")

    @property
    def size(self) -> int:
        """In bytes."""
        return self._file.tell()

    def cut(self, size: int) -> None:
        """Forget what comes after so many bytes."""
        with writing(self._path):
            self._file.truncate(min(size, self.size))
            self._file.seek(0, os.SEEK_END)

    def write(self, rows: Sequence[tuple[int, int, Mapping[str, float]]]) -> None:
        """Add a line for each row: step, milliseconds since 1970, and what was logged then."""
        head = {} if self.size else {IDENTITY: self._identity}
        with writing(self._path):
            for step, at, values in rows:
                self._file.write(to_json({**head, "step": step, "time": at / 1000, **values}) + "\n")
                head = {}
            self._file.flush()

    def close(self) -> None:
        """Close it."""
        with writing(self._path):
            self._file.close()


def written_points(folder: Path) -> Iterator[list[Point]]:
    """Read metrics.jsonl: the values of each line, the very ones that were or will be sent.

    A line that a process was killed over is left out: it is the last.
    """
    with (folder / METRICS).open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                _, row = of_line(json.loads(line))
                step, at = row.pop("step"), round(row.pop("time") * 1000)
                yield [Point(key, float(value), at, step) for key, value in row.items()]
