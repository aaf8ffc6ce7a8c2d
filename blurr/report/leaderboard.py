"""List runs, the best first: those of a folder, or of an MLflow experiment."""

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import OmegaConf

from blurr.config import paths, signatures
from blurr.errors import InputError, nearest
from blurr.metrics.base import MINIMIZE, Direction, declared_direction, direction_of, is_cost, metric_name
from blurr.report.repetitions import DEVIATION, Finished, finished, repeated_part, rows_of, shared_part
from blurr.runs.naming import is_repeated
from blurr.runs.record import Record, Rows, runs_in
from blurr.tracking.sink import DIFFERS, PARENT, SUBJECT

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

REMEDY = "Add --direction minimize or --direction maximize."
NOT_METRICS = ("run", "what", "differs", "n")
FINAL = ("valid/", "test/")
TAG = "blurr.directions"
TARGET = re.compile(r"metrics\.(?P<name>[^.]+)\._target_")  # MLflow's name of the parameter
Directions = Mapping[str, Direction]  # which way metrics are better, by their names without the split


def leaderboard(folder: Path, *, by: str | None = None, direction: Direction | None = None) -> pd.DataFrame:
    """Return the finished runs below a folder with their final metrics, the best first.

    Runs that differ in a seed or fold alone are one row: the mean of each metric, its sample standard deviation in a
    column `<metric> ±`, and `n`, how many they are. `differs` is what the command lines changed.

    Args:
        folder: searched with its subfolders, such as `outputs`.
        by: the metric to sort by; None takes the objective of the latest run.
        direction: which way that metric is better; None asks what the runs have recorded.

    Raises:
        InputError: there are no such runs, none has the metric, or it is unknown which way the metric is better.
    """
    found: list[Finished] = []
    directions: dict[str, Direction] = {}
    for record in map(Record, runs_in(folder.absolute())):
        try:
            said, objective = directions_of(record), record.config.get("objective")
            run = finished(record, str(record.folder.relative_to(folder.absolute())))
        except InputError as error:
            log.warning("%s is left out: %s", record.folder, error)
            continue
        if run.scores:
            found.append(run)
            directions |= said
            of_latest = objective
    if not found:
        raise InputError(f"There are no runs with final scores below {folder}. Give the folder that they are in.")
    return _ranked(rows_of(found), by, of_latest, direction, directions)


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
    found = [each for each in map(_in_mlflow, runs) if each.scores]
    if not found:
        raise InputError(f"The experiment {name} has no finished run with metrics of {' or '.join(FINAL)}.")
    directions: dict[str, Direction] = {}
    for run in runs:
        named = {match["name"]: target for key, target in run.data.params.items() if (match := TARGET.fullmatch(key))}
        directions |= _directions(json.loads(run.data.tags.get(TAG, "{}")), named)
    return _ranked(rows_of(found), by, runs[-1].data.params.get("objective"), direction, directions)


def _in_mlflow(run: "Run") -> Finished:
    tags, params = run.data.tags, run.data.params
    differs = tags.get(DIFFERS, "")
    repeated = [each for each in differs.split() if is_repeated(each.partition("=")[0])]
    return Finished(
        name=run.info.run_id,
        subject=tags.get(SUBJECT) or run.info.run_name,
        differs=(differs, " ".join(each for each in differs.split() if each not in repeated)),
        # a run of an earlier version says too little of itself to be put together with another one
        shared=(tags.get(PARENT), tags[SUBJECT], shared_part(params)) if SUBJECT in tags else run.info.run_id,
        seeds=repeated_part(params),
        scores={key: value for key, value in run.data.metrics.items() if key.startswith(FINAL)},
    )


def _ranked(
    rows: Rows, by: str | None, objective: Any, direction: Direction | None, directions: Directions
) -> pd.DataFrame:
    names = sorted({name for row in rows for name in row if name not in NOT_METRICS and not name.endswith(DEVIATION)})
    of_latest = next(name for name in rows[-1] if name in names)
    chosen = by or (objective if objective in names else of_latest)
    if chosen not in names:
        raise InputError(f"No run has the metric {chosen}.{nearest(chosen, names)} There are {names}.")
    frame = pd.DataFrame([row for row in rows if chosen in row])
    others = Counter(name for row in rows if chosen not in row for name in row if name in names)
    if others:
        told = "%d of %d rows are left out, for they have no %s. Others are shown by --by %s"
        usual = min(others, key=lambda name: (is_cost(name), -others[name]))
        log.warning(told, len(rows) - len(frame), len(rows), chosen, usual)
    said = {"differs": frame["differs"].any(), "n": frame["n"].gt(1).any()}
    first = [*("run", "what"), *(name for name, is_shown in said.items() if is_shown), chosen]
    more = [name for name in frame if name not in (*NOT_METRICS, chosen) and frame[name].notna().any()]
    if chosen + DEVIATION in more:
        more.remove(chosen + DEVIATION)
        first.append(chosen + DEVIATION)
    frame = frame[[*first, *more]]
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
