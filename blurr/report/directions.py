"""Look up which way the metrics of a recorded run are better."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from blurr.config import paths, signatures
from blurr.metrics.base import Direction, direction_of, known_direction
from blurr.report.record import Record

TAG = "blurr.directions"
TARGET = "metrics.{}._target_"
Declared = Mapping[str, "Said | str"]


@dataclass(frozen=True)
class Said:
    """What a run has recorded of a metric that is not there any more."""

    direction: str


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
