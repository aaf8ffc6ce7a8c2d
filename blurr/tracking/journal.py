"""What a run has recorded, kept in its folder: enough to send to MLflow again what never arrived there."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from blurr.errors import InputError
from blurr.tracking.records import to_json
from blurr.tracking.sink import Point

METRICS = "metrics.jsonl"
RECORD = "run.json"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in blurr's words that a file of a run cannot be written.

    Raises:
        InputError: the disk is full, or the folder is read-only or gone.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or choose another output_dir. A "
            "checkpoint that is there already stays whole: resume=<the run's folder> goes on from it."
        ) from error


@dataclass
class Journal:
    """All of a run but its files and metrics, which lie beside it.

    Attributes:
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
            InputError: it cannot be written.
        """
        with writing(folder / RECORD):
            made = folder / f"{RECORD}.part"
            made.write_text(to_json(asdict(self), indent=2) + "\n", encoding="utf-8")
            os.replace(made, folder / RECORD)


def metric_line(step: int, at: int, values: Mapping[str, float]) -> str:
    """Write what was logged at once as a line of metrics.jsonl; `at` is in milliseconds since 1970."""
    return to_json({"step": step, "time": at / 1000, **values}) + "\n"


def written_points(folder: Path) -> Iterator[list[Point]]:
    """Read metrics.jsonl: the values of each line, the very ones that were or will be sent.

    A line that a process was killed over is left out: it is the last.
    """
    with (folder / METRICS).open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                row = json.loads(line)
                step, at = row.pop("step"), round(row.pop("time") * 1000)
                yield [Point(key, float(value), at, step) for key, value in row.items()]
