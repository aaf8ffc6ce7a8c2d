"""Find the folder of a trained model: a run's, a model's own, or one that MLflow keeps."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from blurr.errors import InputError
from blurr.runs.checksums import SEAL, Damaged, verify_if_sealed
from blurr.runs.folder import MODEL
from blurr.runs.not_kept import check_kept
from blurr.runs.record import find_folder
from blurr.tasks.saved import FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID = re.compile(r"[0-9a-f]{32}")
VERSION = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/]+)|/(?P<version>\d+))")
KINDS = (
    "the folder or the identity of a run, the id of an MLflow run, runs:/<id>/model, models:/<name>/<version> or "
    "…@<alias>"
)


def is_model_folder(where: str | Path) -> bool:
    """Return whether this is the local folder of a run or of its model."""
    path = Path(where).expanduser()
    return any((folder / FILE).is_file() for folder in (path, path / MODEL))


def model_folder(where: str | Path) -> Path:
    """Return the folder that holds weights and `blurr.json`; download it if MLflow keeps it elsewhere.

    For MLflow's store and its registry see `config.store`.

    Args:
        where: see `Predictor.load`.

    Raises:
        InputError: there is no such model.
    """
    path = Path(where).expanduser()
    if not path.exists():
        path = find_folder(where) or path
    for folder in (path, path / MODEL):
        check_kept(folder)
        if (folder / FILE).is_file():
            return folder
    if (path / "config.json").is_file():
        raise InputError(
            f"{path} has no file {FILE}, which a run of blurr writes beside its model. To use the checkpoint as it is, "
            f"name the task that its head is for, as in: {path} task=sequence_classification"
        )
    if path.is_dir():
        raise InputError(
            f"{path} holds no trained model: neither it nor its folder model/ has a file {FILE}, which a run of blurr "
            "writes at its end."
        )
    text = str(where)
    uri = f"runs:/{text}/model" if RUN_ID.fullmatch(text) else text
    if not uri.startswith(("runs:/", "models:/")):
        raise InputError(
            f"There is no folder {where}, looked for in {Path.cwd()}. Give {KINDS}. A Hub id needs its task, too, as "
            f"in: {where} task=summarization"
        )
    folder = Path(_downloaded(uri))
    check_kept(folder)
    if not (folder / FILE).is_file():
        raise InputError(f"{where} has no file {FILE}: a run of blurr did not write it. Give {KINDS}.")
    return folder


def check_model(folder: Path) -> None:
    """Compare the files of a model with their checksums, so that no changed weight is predicted with.

    Raises:
        InputError: a file is not as it was written.
    """
    try:
        verify_if_sealed(folder)
    except Damaged as error:
        raise InputError(
            f"{error} Take the model from elsewhere (MLflow keeps one with its run), or go on with its run, which "
            f"writes it anew: blurr run resume={folder.parent}. If you changed the file yourself, delete "
            f"{folder / SEAL}."
        ) from error


def _downloaded(uri: str) -> str:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read once, when MLflow is imported
    import mlflow.artifacts

    from blurr.runs.secrets import mask_text
    from blurr.tracking.store import STORE_ERRORS, asked, is_missing, resolve_uri, store_failure

    store = resolve_uri(None)
    if is_missing(store):
        raise InputError(
            f"{uri} is looked for in MLflow's store {store}, which does not exist. Set MLFLOW_TRACKING_URI to the "
            f"store that has it, or give {KINDS}."
        )
    with asked(store) as client:
        try:
            source = _source(client, uri)
            return str(mlflow.artifacts.download_artifacts(artifact_uri=source, tracking_uri=store))
        except STORE_ERRORS as error:
            reason = mask_text(str(error).partition("\n")[0])
            raise store_failure(error, f"MLflow at {mask_text(store)} cannot give {uri}: {reason}") from error


def _source(client: "MlflowClient", uri: str) -> str:
    """Return the address of a model's files; MLflow itself would read the registry from process-wide settings."""
    if uri.startswith("runs:/"):
        run, _, path = uri.removeprefix("runs:/").partition("/")
        return f"{client.get_run(run).info.artifact_uri}/{path or 'model'}"
    found = VERSION.fullmatch(uri)
    if found is None:
        raise InputError(f"{uri} names no version of a model. Give models:/<name>/<version> or models:/<name>@<alias>.")
    name, alias, version = found["name"], found["alias"], found["version"]
    if alias is not None:
        version = client.get_model_version_by_alias(name, alias).version
    return str(client.get_model_version_download_uri(name, version))
