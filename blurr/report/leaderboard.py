"""List runs, the best first: those of a folder, or of an MLflow experiment."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from blurr.errors import InputError, nearest
from blurr.metrics.base import MINIMIZE, Direction
from blurr.report import directions
from blurr.report.record import Record, read_record, runs_in

log = logging.getLogger(__name__)

REMEDY = "Add --direction minimize or --direction maximize."
FINAL = ("valid/", "test/")
Row = dict[str, Any]


def leaderboard(folder: Path, *, by: str | None = None, direction: Direction | None = None) -> pd.DataFrame:
    """Give the runs below a folder that have ended, with their final metrics, the best first.

    Args:
        folder: such as `outputs`.
        by: the metric to sort by; `None` takes the objective of the latest run.
        direction: which way it is better; `None` asks what the runs have recorded.

    Raises:
        InputError: there are no such runs, none has that metric, or it is not known which way that is better.
    """
    records = [record for run in runs_in(folder) if (record := _whole(run)) and record.scores]
    if not records:
        raise InputError(f"There are no runs with final scores below {folder}. Give the folder that they are in.")
    rows = [{"run": str(r.folder.relative_to(folder.absolute())), "what": r.title, **r.scores} for r in records]
    declared = {name: said for record in records for name, said in directions.of_record(record).items()}
    return _ranked(rows, by, records[-1].config.get("objective"), direction, declared)


def _whole(run: Path) -> Record | None:
    """Read a run; one with a broken file is named, and left out."""
    try:
        return read_record(run)
    except InputError as error:
        log.warning("%s is left out: %s", run, error)
        return None


def leaderboard_of_experiment(
    name: str, *, uri: str | None = None, by: str | None = None, direction: Direction | None = None
) -> pd.DataFrame:
    """Give the finished runs of an MLflow experiment, those of sweeps too, the best first.

    Args:
        name: of the experiment.
        uri: of the store; `None` takes `mlflow.db` in the current folder.
        by: see `leaderboard`.
        direction: see `leaderboard`.

    Raises:
        InputError: there is no such store or experiment, it has no such runs, none has that metric, or it is not known
            which way that is better.
    """
    from blurr.tracking.store import finished_runs  # MLflow takes seconds to import

    runs = finished_runs(name, uri)
    rows: list[Row] = []
    for run in runs:
        scores = {key: value for key, value in run.data.metrics.items() if key.startswith(FINAL)}
        if scores:
            rows.append({"run": run.info.run_id, "what": run.info.run_name, **scores})
    if not rows:
        raise InputError(f"The experiment {name} has no finished run with metrics of {' or '.join(FINAL)}.")
    parts = [directions.of_mlflow(run.data.tags, run.data.params) for run in runs]
    declared = {name: said for part in parts for name, said in part.items()}
    return _ranked(rows, by, runs[-1].data.params.get("objective"), direction, declared)


def _ranked(
    rows: Sequence[Row], by: str | None, objective: Any, direction: Direction | None, declared: directions.Declared
) -> pd.DataFrame:
    names = sorted({name for row in rows for name in row if name not in ("run", "what")})
    of_latest = next(name for name in rows[-1] if name in names)
    chosen = by or (objective if objective in names else of_latest)
    if chosen not in names:
        raise InputError(f"No run has the metric {chosen}.{nearest(chosen, names)} There are {names}.")
    first = ["run", "what", chosen]
    frame = pd.DataFrame([row for row in rows if chosen in row])
    frame = frame[[*first, *(name for name in frame if name not in first and frame[name].notna().any())]]
    better = direction or directions.better_by(chosen, declared, remedy=REMEDY)
    # a value that is not a number comes last, whichever way is better
    return frame.sort_values(chosen, ascending=better == MINIMIZE, na_position="last").reset_index(drop=True)
