"""List runs, the best first: those of a folder, or of an MLflow experiment."""

import json
import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from blurr.config import paths, signatures
from blurr.errors import InputError, nearest
from blurr.metrics.base import MINIMIZE, Direction, declared_direction, direction_of, is_cost, metric_name
from blurr.runs.record import Record, Rows, runs_in

log = logging.getLogger(__name__)

REMEDY = "Add --direction minimize or --direction maximize."
FINAL = ("valid/", "test/")
TAG = "blurr.directions"
TARGET = re.compile(r"metrics\.(?P<name>[^.]+)\._target_")  # MLflow's name of the parameter
Directions = Mapping[str, Direction]  # which way metrics are better, by their names without the split


def leaderboard(folder: Path, *, by: str | None = None, direction: Direction | None = None) -> pd.DataFrame:
    """Return the finished runs below a folder with their final metrics, the best first.

    Args:
        folder: searched with its subfolders, such as `outputs`.
        by: the metric to sort by; None takes the objective of the latest run.
        direction: which way that metric is better; None asks what the runs have recorded.

    Raises:
        InputError: there are no such runs, none has the metric, or it is unknown which way the metric is better.
    """
    rows: Rows = []
    directions: dict[str, Direction] = {}
    for record in map(Record, runs_in(folder.absolute())):
        try:
            said, objective = directions_of(record), record.config.get("objective")
            row = {"run": str(record.folder.relative_to(folder.absolute())), "what": record.title, **record.scores}
        except InputError as error:
            log.warning("%s is left out: %s", record.folder, error)
            continue
        if record.scores:
            rows.append(row)
            directions |= said
            of_latest = objective
    if not rows:
        raise InputError(f"There are no runs with final scores below {folder}. Give the folder that they are in.")
    return _ranked(rows, by, of_latest, direction, directions)


def leaderboard_of_experiment(
    name: str, *, uri: str | None = None, by: str | None = None, direction: Direction | None = None
) -> pd.DataFrame:
    """Return the finished runs of an MLflow experiment, those of sweeps included, the best first.

    Args:
        name: of the experiment.
        uri: the address of the store; for None see `config.store`.
        by: see `leaderboard`, as for `direction` and what else is raised.
        direction: see `leaderboard`.

    Raises:
        InputError: there is no such store or experiment.
    """
    from blurr.tracking.store import finished_runs  # MLflow takes seconds to import

    runs = finished_runs(name, uri)
    rows: Rows = []
    for run in runs:
        scores = {key: value for key, value in run.data.metrics.items() if key.startswith(FINAL)}
        if scores:
            rows.append({"run": run.info.run_id, "what": run.info.run_name, **scores})
    if not rows:
        raise InputError(f"The experiment {name} has no finished run with metrics of {' or '.join(FINAL)}.")
    directions: dict[str, Direction] = {}
    for run in runs:
        found = {match["name"]: target for key, target in run.data.params.items() if (match := TARGET.fullmatch(key))}
        directions |= _directions(json.loads(run.data.tags.get(TAG, "{}")), found)
    return _ranked(rows, by, runs[-1].data.params.get("objective"), direction, directions)


def _ranked(
    rows: Rows, by: str | None, objective: Any, direction: Direction | None, directions: Directions
) -> pd.DataFrame:
    names = sorted({name for row in rows for name in row if name not in ("run", "what")})
    of_latest = next(name for name in rows[-1] if name in names)
    chosen = by or (objective if objective in names else of_latest)
    if chosen not in names:
        raise InputError(f"No run has the metric {chosen}.{nearest(chosen, names)} There are {names}.")
    first = ["run", "what", chosen]
    frame = pd.DataFrame([row for row in rows if chosen in row])
    frame = frame[[*first, *(name for name in frame if name not in first and frame[name].notna().any())]]
    better = direction or better_of(chosen, directions) or direction_of(chosen, None, remedy=REMEDY)
    # NaN comes last, whichever way is better
    return frame.sort_values(chosen, ascending=better == MINIMIZE, na_position="last").reset_index(drop=True)


def better_of(key: str, directions: Directions) -> Direction | None:
    """Return which way a metric such as `valid/f1` is better; None if it is unknown."""
    return MINIMIZE if is_cost(key) else directions.get(metric_name(key))


def directions_of(record: Record) -> dict[str, Direction]:
    """Return which way the metrics of a run are better, by their names; those that are unknown are left out."""
    targets = {name: str(node.get("_target_")) for name, node in (record.config.get("metrics") or {}).items()}
    return _directions(record.facts.get("directions", {}), targets)


def _directions(recorded: Mapping[str, Direction | None], targets: Mapping[str, str]) -> dict[str, Direction]:
    """Prefer what was recorded; only blurr's own classes are asked, so that a table runs nobody else's code."""
    ours = {name: declared_direction(target) for name, target in targets.items() if signatures.is_ours(target)}
    return {name: said for source in (_shipped(), ours, recorded) for name, said in source.items() if said}


@cache
def _shipped() -> dict[str, Direction | None]:
    """Return what blurr's own metrics say, by the names of conf/metrics, for runs that recorded nothing."""
    options = [OmegaConf.load(file) for file in paths.options("metrics").values()]
    targets = {str(name): str(node["_target_"]) for option in options for name, node in dict(option).items()}
    return {name: declared_direction(target) for name, target in targets.items() if signatures.is_ours(target)}
