"""Read what a run has left in its folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from blurr.errors import InputError
from blurr.runs.folder import CONFIG, ENVIRONMENT, FACTS, METRICS, OVERRIDES, SCORES, TABLES, identity_of, of_line
from blurr.runs.jsonlines import read_lines, read_whole
from blurr.runs.resume import check_holds

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Record:
    """A run, as its folder tells it; what it did not come to write is empty.

    Attributes:
        folder: of the run.
        identity: of the run; None where an earlier blurr has written it.
        config: resolved.
        overrides: the words of its command line.
        environment: versions, machine, git.
        facts: options, weights, parameters, rows and tokens of each split; see `blurr.report.facts`.
        scores: final metrics.
        log: every logged value; columns `step`, `time` and the metrics' names, in the order they were logged.
        tables: split to its described rows.
        texts: what the task reported besides, by the name of the file.
    """

    folder: Path
    identity: str | None
    config: dict[str, Any]
    overrides: list[str]
    environment: dict[str, Any]
    facts: dict[str, Any]
    scores: dict[str, float]
    log: pd.DataFrame
    tables: dict[str, Rows]
    texts: dict[str, str]

    @property
    def title(self) -> str:
        """The options that the run was made of, or the name of its folder."""
        choices = self.facts.get("choices", {})
        return " · ".join(choices.values()) or self.folder.name

    @property
    def name(self) -> str:
        """What tells it from other runs: its folder's name and its identity."""
        return self.folder.name if self.identity is None else f"{self.folder.name} ({self.identity})"

    @property
    def notes(self) -> dict[str, str]:
        """What is to be said beside a score, by its key."""
        return dict(self.facts.get("notes", {}))

    @property
    def doubts(self) -> list[str]:
        """Why its scores may be worth nothing."""
        return list(self.facts.get("doubts", []))

    @property
    def epochs(self) -> pd.DataFrame:
        """What was measured at the end of each epoch: a row each, without what was logged at each step."""
        if "time/epoch" not in self.log:
            return pd.DataFrame()
        rows = self.log[self.log["time/epoch"].notna()].dropna(axis=1, how="all").drop(columns="time")
        return rows.reset_index(drop=True)


def read_record(place: str | Path, *, uri: str | None = None) -> Record:
    """Read a run.

    Args:
        place: its folder, or the id of its MLflow run.
        uri: of the MLflow store; `None` takes `mlflow.db` in the current folder.

    Raises:
        InputError: there is no such run, or one of its files is broken.
    """
    folder = find_run(place, uri=uri)
    return Record(
        folder=folder,
        identity=identity_of(folder),
        config=read_whole(folder / CONFIG, yaml.safe_load, dict),
        overrides=_read(folder / OVERRIDES, yaml.safe_load, list),
        environment=_read(folder / ENVIRONMENT, json.loads, dict),
        facts=_read(folder / FACTS, json.loads, dict),
        scores=_numbers(_read(folder / SCORES, json.loads, dict)),
        log=pd.DataFrame([_numbers(of_line(row)[1]) for row in _rows(folder / METRICS)]),
        tables={split: rows for split, name in TABLES.items() if (rows := _rows(folder / name))},
        texts={path.name: _text(path) for split in TABLES for path in sorted(folder.glob(f"{split}_*.txt"))},
    )


def find_run(place: str | Path, *, uri: str | None = None) -> Path:
    """Find the folder of a run; see `read_record`."""
    folder = Path(place).expanduser()
    if (folder / CONFIG).is_file():
        return folder.absolute()
    if folder.is_dir():
        raise InputError(f"{folder} is no folder of a run: it has no config.yaml. Give one of {_some()}.")
    from blurr.tracking.store import folder_of  # MLflow takes seconds to import

    found = folder_of(str(place), uri)
    if found is None or not (found / CONFIG).is_file():
        gone = f" Its folder {found} is gone." if found else ""
        raise InputError(f"There is no run {place}, neither a folder nor in MLflow.{gone} There are {_some()}.")
    check_holds(found, str(place))
    return found.absolute()


def runs_in(folder: Path) -> list[Path]:
    """Give the folders of all runs below a folder, the oldest first."""
    found = [file.parent for file in folder.rglob(CONFIG) if (file.parent / METRICS).is_file()]
    return sorted(found, key=lambda run: (run / CONFIG).stat().st_mtime)


def _some() -> list[str]:
    return [str(run) for run in runs_in(Path("outputs"))[-5:]]


def _read(file: Path, parse: Callable[[str], Any], kind: type) -> Any:
    return read_whole(file, parse, kind) if file.is_file() else kind()


def _text(file: Path) -> str:
    return str(_read(file, str, str))


def _rows(file: Path) -> Rows:
    return read_lines(file) if file.is_file() else []


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items()}  # NaN and the infinities are kept as text
