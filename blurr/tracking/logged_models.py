"""Show the trained model of a run among MLflow's models, without a second copy of its weights.

This module loads MLflow; import it only when a run is opened.
"""

import logging
import os
import re
import shutil
from pathlib import Path

from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from blurr.tracking.sink import SUBJECT

log = logging.getLogger(__name__)
KIND = "blurr"  # MLflow's type of the model


def log_model(client: MlflowClient, run_id: str, path: str) -> None:
    """Make a logged model of a run's model folder: hard links to its files, or copies where there are no links.

    A store whose artifacts lie elsewhere would have to receive the weights twice: there the model is an artifact alone.

    Args:
        client: of the store.
        run_id: the run; nothing happens if it has a logged model.
        path: of the folder among the run's artifacts.
    """
    run = client.get_run(run_id)
    if run.outputs and run.outputs.model_outputs or not is_local_uri(run.info.artifact_uri):  # type: ignore[no-untyped-call]
        return
    source = _folder(run.info.artifact_uri) / path
    # MLflow allows no dots, slashes and quotes in the name of a model
    name = re.sub(r"[^\w -]", "-", run.data.tags.get(SUBJECT) or run.info.run_name)
    try:
        made = client.create_logged_model(run.info.experiment_id, name, source_run_id=run_id, model_type=KIND)
    except MlflowException as error:  # a server of an earlier MLflow has no logged models
        log.debug("The model of the run %s is not shown among MLflow's models: %s", run_id, error)
        return
    _link(source, _folder(made.artifact_location))
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])


def _folder(uri: str) -> Path:
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]


def _link(source: Path, target: Path) -> None:
    for file in (file for file in source.rglob("*") if file.is_file()):
        to = target / file.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.unlink(missing_ok=True)
        try:
            os.link(file, to)
        except OSError:  # another disk, or a file system without links
            shutil.copy2(file, to)
