"""Read what a run has left in its folder, and find that folder by its path or by the run's identity."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blurr.errors import InputError
from blurr.runs.checksums import file_checksum
from blurr.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    DIFF,
    ENVIRONMENT,
    FACTS,
    INTERVALS,
    METRICS,
    OVERRIDES,
    PREVIEWS,
    RECORD,
    SCORES,
    TABLES,
    identity_of,
    of_line,
)
from blurr.runs.journal import Journal
from blurr.runs.jsonlines import REMEDY, read_lines, read_whole, stream_lines
from blurr.runs.naming import differences, subject_of, title_of
from blurr.runs.parsing import parse_json, parse_yaml
from blurr.runs.shapes import Config, Environment, Facts, Intervals, Line, Preview, Scores

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MOST_ROWS = 100_000  # of a split that reports and comparisons look at
OUTPUTS = Path("outputs")  # conf/config.yaml puts runs there
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Record:
    """A run, as its folder describes it.

    Files are read on first access. A file that the run did not write counts as empty; a broken one raises an
    InputError that names it.

    Args:
        folder: the run's folder.
    """

    folder: Path

    @cached_property
    def identity(self) -> str | None:
        """The run's identity; None if an early version of blurr wrote the run."""
        return identity_of(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        read_whole(self.folder / CONFIG, str, str)  # it is not optional
        return dict(self._read(CONFIG, parse_yaml, Config) or {})

    @property
    def notebook(self) -> str | None:
        """The name by which a notebook opened the run; None if a command line began it."""
        return self.config.get("notebook")

    @cached_property
    def overrides(self) -> list[str]:
        """What the command line changed."""
        return list(self._read(OVERRIDES, parse_yaml, list[str]) or [])

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine and the state of git."""
        return dict(self._read(ENVIRONMENT, parse_json, Environment) or {})

    @cached_property
    def diff(self) -> str:
        """The uncommitted changes of the code."""
        return str(self._read(DIFF, str, str) or "")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Options, weights, parameters, and the rows and tokens of each split; see `blurr.report.facts`."""
        return dict(self._read(FACTS, parse_json, Facts) or {})

    @cached_property
    def tags(self) -> dict[str, str]:
        """The tags of the run, as MLflow has them."""
        return self._journal.tags

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None without MLflow."""
        return self._journal.run_id

    @property
    def store(self) -> str | None:
        """The address of the MLflow store, without a password; None without MLflow."""
        return self._journal.uri

    @cached_property
    def scores(self) -> dict[str, float]:
        """The final metrics."""
        return _numbers(self._read(SCORES, parse_json, Scores) or {})

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The ends of the 95 % intervals of the final metrics; runs of earlier versions have none."""
        found = self._read(INTERVALS, parse_json, Intervals) or {}
        return {key: (float(low), float(high)) for key, (low, high) in found.items()}

    @cached_property
    def log(self) -> "pd.DataFrame":
        """Every logged value, in the order of logging; columns `step`, `time` and the names of the metrics."""
        import pandas as pd  # slow to import, and the command line only needs the folder

        return pd.DataFrame([_numbers(of_line(row)[1]) for row in self._lines(METRICS, Line)])

    @cached_property
    def tables(self) -> dict[str, Rows]:
        """The described rows of each split, of very many the first."""
        return {split: rows for split, name in TABLES.items() if (rows := self._first_lines(name))}

    def _first_lines(self, name: str) -> Rows:
        file = self.file(name)
        lines = iter(()) if file is None else stream_lines(file, dict[str, Any])
        rows = list(islice(lines, MOST_ROWS))
        if next(lines, None) is not None:
            log.warning("%s: reports and comparisons look at the first %d of its rows.", file, MOST_ROWS)
        return rows

    @cached_property
    def previews(self) -> dict[str, dict[int, dict[str, Any]]]:
        """What there is to show of the files of rows: split to number of the row to the line of `Preview`."""
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for line in self._lines(PREVIEWS, Preview):
            found.setdefault(line["split"], {})[line["row"]] = line
        return found

    @cached_property
    def texts(self) -> dict[str, str]:
        """The task's own reports, by file name."""
        files = [file for split in TABLES for file in sorted(self.folder.glob(f"{split}_*.txt"))]
        return {file.name: str(self._read(file.name, str, str)) for file in files}

    def check(self) -> None:
        """Read what describes the run, so that a broken file is refused before anything is done.

        Raises:
            InputError: names the file.
        """
        for each in ("tags", "config", "overrides", "environment", "facts", "scores", "intervals", "diff"):
            getattr(self, each)

    @property
    def title(self) -> str:
        """What the run trained, and what its command line changed; the name of its folder if that is unknown."""
        return title_of(self.subject, differences(self.overrides)) if self.subject else self.folder.name

    @property
    def subject(self) -> str:
        """The name that a notebook gave the run; else the checkpoint, the task if it was chosen, and the data."""
        return self.notebook or subject_of(self.config, self.overrides, self.facts.get("choices", {}))

    @property
    def name(self) -> str:
        """The name of its folder and its identity, which distinguish it from other runs."""
        return self.folder.name if self.identity is None else f"{self.folder.name} ({self.identity})"

    @property
    def predicts(self) -> str:
        """What the task predicts, see `Scored.kind`; empty if the run did not say it."""
        return str(self.facts.get("predicts", ""))

    @property
    def notes(self) -> dict[str, str]:
        """Remarks on single scores, by the keys of the scores."""
        return dict(self.facts.get("notes", {}))

    @property
    def doubts(self) -> list[str]:
        """Reasons why the scores may be worth nothing."""
        return list(self.facts.get("doubts", []))

    @property
    def epochs(self) -> "pd.DataFrame":
        """What was measured at the end of each epoch, one row per epoch, without the values of single steps."""
        if "time/epoch" not in self.log:
            return self.log.iloc[:0, :0]
        rows = self.log[self.log["time/epoch"].notna()].dropna(axis=1, how="all").drop(columns="time")
        return rows.reset_index(drop=True)

    @cached_property
    def _journal(self) -> Journal:
        return Journal.read(self.folder) if (self.folder / RECORD).is_file() else Journal()

    def _read(self, name: str, parse: Callable[[str], Any], kind: Any) -> Any:
        """Return what a file holds; None if there is none."""
        return read_whole(file, parse, kind) if (file := self.file(name)) else None

    def _lines(self, name: str, kind: Any) -> Rows:
        return read_lines(file, kind) if (file := self.file(name)) else []

    def file(self, name: str) -> Path | None:
        """Return the path of a file of the run, once its checksum is compared; None if there is none.

        Raises:
            InputError: it is not as it was written.
        """
        file, written = self.folder / name, self._journal.checksums.get(name)
        if not file.is_file():
            return None
        if written is not None and file_checksum(file) != written:
            raise InputError(f"{file} is not as it was written: its checksum is another. {REMEDY}")
        return file


def find_folder(name: str | Path) -> Path | None:
    """Find the folder of a run on this machine.

    Args:
        name: the path of the folder or of one of its checkpoints, or the identity of a run in outputs/.

    Returns:
        The folder; None if there is neither a folder nor a run of that name.

    Raises:
        InputError: the folder is there, and is not that of a run.
    """
    given = Path(name).expanduser().absolute()
    if not given.is_dir():
        return next((run.absolute() for run in runs_in(OUTPUTS) if _is_of(run, str(name))), None)
    for folder in (given, *given.parents[:2]):
        if given.relative_to(folder).parts[:1] in ((), (CHECKPOINTS,)) and is_run(folder):
            return folder
    raise InputError(f"{name} is not the folder of a run: it has no {CONFIG}. Name one of {latest_runs()}.")


def _is_of(folder: Path, identity: str) -> bool:
    with suppress(InputError):  # a broken record is of no run that anybody looks for
        return identity_of(folder) == identity
    return False


def is_run(folder: Path) -> bool:
    """Return whether this is the folder of a run, in whatever state."""
    return any((folder / name).is_file() for name in (CONFIG, OVERRIDES, RECORD))


def check_links(folder: Path) -> None:
    """Refuse the folder of a run or a sweep with links that lead out of it, before anything is written there.

    Raises:
        InputError: names the link.
    """
    here = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(here):
            raise InputError(
                f"{path} is a link to {path.readlink()}, out of the folder: what a run writes or sends would not be "
                "its own. Put the file or folder itself there."
            )


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of all runs below a folder, the one begun last at the end."""
    found = sorted(folder.rglob(OVERRIDES), key=lambda file: file.stat().st_mtime)
    return [file.parent for file in found]


def latest_runs() -> list[str]:
    """Return the last runs in outputs/, for a message that names what there is."""
    return [str(run) for run in runs_in(OUTPUTS)[-5:]]


def interval_text(ends: tuple[float, float] | None) -> str:
    """Return the ends of an interval as text, `[0.803, 0.881]`; '' for none."""
    return "" if ends is None else f"[{', '.join(f'{end:.0f}' if abs(end) >= 1000 else f'{end:.3g}' for end in ends)}]"


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items()}  # NaN and the infinities are kept as text
