"""Show the trained model of a run among MLflow's models, without a second copy of its weights.

This module loads MLflow; import it only when a run is opened.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from blurr.runs.asides import link
from blurr.tracking.sink import SUBJECT

log = logging.getLogger(__name__)
KIND = "blurr"  # MLflow's type of the model
WEIGHTS = ".safetensors"  # ends the names of large files, which are never changed in their place


def add_model(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Add the folder of a model to a run's artifacts, in place of an earlier one.

    Where they lie on the same disk as the run, its weights get a second name there, and take no more room. Other files
    are copied, since somebody may edit them.

    Args:
        client: of the store.
        run_id: the run.
        folder: of the model.
    """
    artifacts = client.get_run(run_id).info.artifact_uri
    if not is_local_uri(artifacts):  # type: ignore[no-untyped-call]
        client.log_artifacts(run_id, str(folder), folder.name)
        return
    for file, to in _pairs(folder, _folder(artifacts) / folder.name):
        if file.suffix == WEIGHTS:
            link(file, to)
        else:
            shutil.copyfile(file, to)


def log_model(client: MlflowClient, run_id: str, path: str) -> None:
    """Make a logged model of a run's model folder: hard links to its files, or copies where there are no links.

    A store whose artifacts lie elsewhere would have to receive the weights twice: there the model is an artifact alone.

    Args:
        client: of the store.
        run_id: the run; if it has a logged model, that gets the files of now.
        path: of the folder among the run's artifacts.
    """
    run = client.get_run(run_id)
    if not is_local_uri(run.info.artifact_uri):  # type: ignore[no-untyped-call]
        return
    source = _folder(run.info.artifact_uri) / path
    if run.outputs and run.outputs.model_outputs:  # of a run that was resumed, whose weights are others now
        _link(source, _folder(client.get_logged_model(run.outputs.model_outputs[0].model_id).artifact_location))
        return
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


def delete_weights(client: MlflowClient, run_id: str, note: Path) -> None:
    """Delete the weights of a run's model, and its entry among MLflow's models, where the store keeps them here.

    Args:
        client: of the store.
        run_id: the run.
        note: a file that stands for them from now on.
    """
    run = client.get_run(run_id)
    if not is_local_uri(run.info.artifact_uri):  # type: ignore[no-untyped-call]
        return
    for output in run.outputs.model_outputs if run.outputs else []:
        try:
            made = client.get_logged_model(output.model_id)
        except MlflowException as error:
            log.debug("The logged model %s is deleted already: %s", output.model_id, error)
            continue
        _delete(_folder(made.artifact_location))
        client.delete_logged_model(made.model_id)
    for folder in {file.parent for file in _weights(_folder(run.info.artifact_uri))}:
        shutil.copyfile(note, folder / note.name)
    _delete(_folder(run.info.artifact_uri))


def _delete(folder: Path) -> None:
    for file in _weights(folder):
        file.unlink()


def _weights(folder: Path) -> list[Path]:
    return list(folder.rglob(f"*{WEIGHTS}"))


def _folder(uri: str) -> Path:
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]


def _link(source: Path, target: Path) -> None:
    for file, to in _pairs(source, target):
        link(file, to)


def _pairs(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a folder and what they are to be in another, where their folders are made."""
    for file in (file for file in source.rglob("*") if file.is_file()):
        to = target / file.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        yield file, to
