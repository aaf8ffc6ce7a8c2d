"""Say which MLflow store is meant: what the user names, else what the environment names, else a file."""

import logging
import os
from functools import cache

log = logging.getLogger(__name__)

DEFAULT_STORE, DEFAULT_EXPERIMENT = "sqlite:///mlflow.db", "blurr"  # the file lies in the launch folder
URI, EXPERIMENT, REGISTRY = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI"
SIDE = "workflowType=machine_learning"  # of MLflow's pages, which open on those for agents
WHERE = f"default: that of {URI}, or mlflow.db in this folder"  # for the help of --uri
# Variables that MLflow's own functions obey and a run of blurr does not, with what to give in their place.
IGNORED = {
    "MLFLOW_RUN_ID": "resume=<its id> goes on with a run",
    "MLFLOW_EXPERIMENT_ID": f"tracking.experiment=<its name> or {EXPERIMENT} chooses the experiment",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "tracking.system_metrics=true samples the load of the machine",
}


def store_uri(given: str | None = None) -> str:
    """Return the address of the MLflow store.

    Args:
        given: what a key or a flag names; it comes before MLFLOW_TRACKING_URI, and that before `mlflow.db`.
    """
    return given or os.environ.get(URI) or DEFAULT_STORE


def experiment_name(given: str | None = None) -> str:
    """Return the name of the MLflow experiment; the order is that of `store_uri`."""
    return given or os.environ.get(EXPERIMENT) or DEFAULT_EXPERIMENT


def registry_uri(store: str) -> str:
    """Return the address of the model registry that belongs to a store."""
    return os.environ.get(REGISTRY) or store


def variables() -> dict[str, str]:
    """Return MLflow's variables of this environment: a process elsewhere that has them means the same store."""
    return {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}


@cache
def say_ignored() -> None:
    """Warn once of each variable that is set and has no effect."""
    for name, instead in IGNORED.items():
        if os.environ.get(name):
            log.warning("%s is set, and blurr ignores it: %s.", name, instead)
