"""List runs, the best first: those of a folder, or of an MLflow experiment."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from blurr.config import paths, signatures
from blurr.errors import InputError, nearest
from blurr.metrics.base import MINIMIZE, Direction, direction_of, known_direction
from blurr.runs.record import Record, runs_in

log = logging.getLogger(__name__)

REMEDY = "Add --direction minimize or --direction maximize."
FINAL = ("valid/", "test/")
Row = dict[str, Any]


TAG = "blurr.directions"
TARGET = "metrics.{}._target_"
Declared = Mapping[str, "Said | str"]


@dataclass(frozen=True)
class Said:
    """What a run has recorded of a metric that is not there any more."""

    direction: str


def leaderboard(folder: Path, *, by: str | None = None, direction: Direction | None = None) -> pd.DataFrame:
    """Give the runs below a folder that have ended, with their final metrics, the best first.

    Args:
        folder: such as `outputs`.
        by: the metric to sort by; `None` takes the objective of the latest run.
        direction: which way it is better; `None` asks what the runs have recorded.

    Raises:
        InputError: there are no such runs, none has that metric, or it is not known which way that is better.
    """
    rows: list[Row] = []
    declared: dict[str, Said | str] = {}
    for record in map(Record, runs_in(folder.absolute())):
        try:
            said, objective = of_record(record), record.config.get("objective")
            row = {"run": str(record.folder.relative_to(folder.absolute())), "what": record.title, **record.scores}
        except InputError as error:
            log.warning("%s is left out: %s", record.folder, error)
            continue
        if record.scores:
            rows.append(row)
            declared |= said
            of_latest = objective
    if not rows:
        raise InputError(f"There are no runs with final scores below {folder}. Give the folder that they are in.")
    return _ranked(rows, by, of_latest, direction, declared)


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
    parts = [of_mlflow(run.data.tags, run.data.params) for run in runs]
    declared = {name: said for part in parts for name, said in part.items()}
    return _ranked(rows, by, runs[-1].data.params.get("objective"), direction, declared)


def _ranked(
    rows: Sequence[Row], by: str | None, objective: Any, direction: Direction | None, declared: Declared
) -> pd.DataFrame:
    names = sorted({name for row in rows for name in row if name not in ("run", "what")})
    of_latest = next(name for name in rows[-1] if name in names)
    chosen = by or (objective if objective in names else of_latest)
    if chosen not in names:
        raise InputError(f"No run has the metric {chosen}.{nearest(chosen, names)} There are {names}.")
    first = ["run", "what", chosen]
    frame = pd.DataFrame([row for row in rows if chosen in row])
    frame = frame[[*first, *(name for name in frame if name not in first and frame[name].notna().any())]]
    better = direction or better_by(chosen, declared, remedy=REMEDY)
    # a value that is not a number comes last, whichever way is better
    return frame.sort_values(chosen, ascending=better == MINIMIZE, na_position="last").reset_index(drop=True)


def of_record(record: Record) -> dict[str, "Said | str"]:
    """Return what a run's folder says of its metrics, by their names."""
    targets = {name: str(node.get("_target_")) for name, node in (record.config.get("metrics") or {}).items()}
    return _declared(record.facts.get("directions", {}), targets)


def of_mlflow(tags: Mapping[str, str], params: Mapping[str, str]) -> dict[str, "Said | str"]:
    """Return what a run in MLflow says of its metrics, by their names."""
    first, last = TARGET.split("{}")
    targets = {
        name.removeprefix(first).removesuffix(last): target
        for name, target in params.items()
        if name.startswith(first) and name.endswith(last)
    }
    return _declared(json.loads(tags.get(TAG, "{}")), targets)


def _declared(recorded: Mapping[str, Any], targets: Mapping[str, str]) -> dict[str, "Said | str"]:
    """Prefer what was recorded; a class is looked up where it is ours, for nobody else's code runs for a table."""
    ours = {name: target for name, target in targets.items() if signatures.is_ours(target)}
    return {**_shipped(), **ours, **{name: Said(said) for name, said in recorded.items() if said}}


@cache
def _shipped() -> dict[str, str]:
    """Return the classes of blurr's own options by the names of their metrics, for runs that recorded none."""
    options = [OmegaConf.load(file) for file in paths.options("metrics").values()]
    nodes = {str(name): node for option in options for name, node in dict(option).items()}
    return {name: str(node["_target_"]) for name, node in nodes.items() if signatures.is_ours(str(node["_target_"]))}


def better_by(key: str, declared: Declared, *, remedy: str) -> Direction:
    """Return which way a metric such as `valid/f1` is better.

    Raises:
        InputError: neither the run nor the metric says.
    """
    return direction_of(key, declared.get(key.partition("/")[2]), remedy=remedy)


def better_or_none(key: str, declared: Declared) -> Direction | None:
    """Do as `better_by` does, and return `None` where it is not known."""
    return known_direction(key, declared.get(key.partition("/")[2]))
