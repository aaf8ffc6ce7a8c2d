"""What a run has recorded, kept in its folder: enough to send MLflow again what never arrived there."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from blurr import errors
from blurr.errors import InputError
from blurr.runs.checksums import file_checksum, write_whole
from blurr.runs.folder import (
    IDENTITY,
    METRICS,
    OVERRIDES,
    OWN_CHECKSUM,
    RECORD,
    checksum_of,
    new_identity,
    of_line,
    read_record,
)
from blurr.runs.jsonlines import read_lines, to_json
from blurr.runs.parsing import Whole, validated
from blurr.runs.shapes import Line

REMEDY = (
    "Make room, or choose another output_dir. A checkpoint that is there already stays whole: "
    "resume=<the run's folder> goes on from it."
)


def writing(path: Path) -> errors.writing:
    """Turn a failure to write a run's file into a ResourceError."""
    return errors.writing(path, REMEDY)


class Point(NamedTuple):
    """One value of one metric: milliseconds since 1970, and the optimizer step."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class Journal:
    """Everything recorded about a run except its files and metrics, which lie beside it.

    Attributes:
        identity: the run's identity; None if an earlier blurr wrote the journal.
        run_id: MLflow's id of the run; None without MLflow.
        uri: address of the store, without a password; None without MLflow.
        experiment: name of the experiment in MLflow.
        status: how the run ended; None while it is open, or if its process was killed.
        ended: milliseconds since 1970.
        tags: all tags set so far.
        params: the values that `auto` resolved to; all other parameters are the config.
        artifacts: path of each recorded file or folder, with the artifact folder that it went to.
        tables: names of the tables, each the stem of a .jsonl file.
        checksums: of the run's other files, by their names; one that is being written has none.
    """

    identity: str | None = None
    run_id: str | None = None
    uri: str | None = None
    experiment: str | None = None
    status: Literal["FINISHED", "FAILED", "KILLED"] | None = None
    ended: Whole | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str | None] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """Read the journal in a run's folder.

        Raises:
            InputError: it is missing or cannot be read.
        """
        if not (folder / RECORD).is_file():
            raise InputError(f"{folder} is not the folder of a run: it has no {RECORD}. Give the output_dir of one.")
        return validated(cls, json.dumps(read_record(folder, cls)))

    def write(self, folder: Path) -> None:
        """Write the journal, whole or not at all.

        Raises:
            ResourceError: the folder cannot be written.
        """
        values = asdict(self)
        with writing(folder / RECORD):
            write_whole(folder / RECORD, to_json({**values, OWN_CHECKSUM: checksum_of(values)}, indent=2) + "\n")

    @contextmanager
    def sealing(self, folder: Path, name: str) -> Iterator[None]:
        """Note the checksum of a file that is written in the `with` block; it has none until it is whole."""
        if self.checksums.pop(name, None) is not None:
            self.write(folder)
        yield
        self.seal(folder, name)

    def seal(self, folder: Path, name: str) -> None:
        """Note the checksum of a file that is whole."""
        with writing(folder / name):
            self.checksums[name] = file_checksum(folder / name)
        self.write(folder)


def begun(folder: Path, identity: str | None, overrides: Sequence[str], *, goes_on: bool) -> Journal:
    """Return the journal of a new or resumed run, once run.json and overrides.yaml are on the disk.

    By these two a run that is killed in its first moments can be found and resumed.

    Args:
        folder: the run's folder; created if missing.
        identity: identity of a new run; None creates one. A journal that has one keeps it.
        overrides: what the command line changed, without secrets.
        goes_on: whether the folder holds the run already.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    journal = journal_of(folder, identity, goes_on=goes_on)
    journal.write(folder)
    if not (goes_on and (folder / OVERRIDES).exists()):
        with writing(folder / OVERRIDES), journal.sealing(folder, OVERRIDES):
            write_whole(folder / OVERRIDES, overrides_text(overrides))
    return journal


def journal_of(folder: Path, identity: str | None, *, goes_on: bool) -> Journal:
    """Read the journal of a run that goes on, or create one; nothing is written; see `begun`."""
    journal = Journal.read(folder) if goes_on and (folder / RECORD).exists() else Journal()
    journal.identity = journal.identity or identity or new_identity()
    return journal


def overrides_text(overrides: Sequence[str]) -> str:
    """Return the text of overrides.yaml."""
    return str(yaml.safe_dump(list(overrides), allow_unicode=True))


class MetricsFile:
    """The metrics.jsonl of an open run.

    Args:
        folder: the run's folder.
        identity: the run's identity, which the first line states.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._path, self._identity = folder / METRICS, identity
        with writing(self._path):
            self._file = self._path.open("a", encoding="utf-8")

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._file.tell()

    def cut(self, size: int) -> None:
        """Drop everything after the first `size` bytes."""
        with writing(self._path):
            self._file.truncate(min(size, self.size))
            self._file.seek(0, os.SEEK_END)

    def write(self, rows: Sequence[tuple[int, int, Mapping[str, float]]]) -> None:
        """Append one line per row: step, milliseconds since 1970, and the values logged then."""
        with writing(self._path):
            head = {} if self.size else {IDENTITY: self._identity}
            for step, at, values in rows:
                self._file.write(to_json({**head, "step": step, "time": at / 1000, **values}) + "\n")
                head = {}
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with writing(self._path):
            self._file.close()


def written_points(folder: Path) -> Iterator[list[Point]]:
    """Yield the values of each line of metrics.jsonl, exactly as they are sent.

    The last line is skipped if the process was killed while writing it.

    Raises:
        InputError: a line is broken.
    """
    for line in read_lines(folder / METRICS, Line):
        _, row = of_line(line)
        step, at = row.pop("step"), round(row.pop("time") * 1000)
        yield [Point(key, float(value), at, step) for key, value in row.items()]
