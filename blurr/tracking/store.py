"""Open the MLflow store of a tracking URI, and create it if it does not exist.

This module loads MLflow; import it only when a run is opened.
"""

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from blurr.config.store import DEFAULT_STORE, URI, registry_uri, store_uri
from blurr.errors import NO_ANSWER_CODES, BlurrError, InputError, ResourceError, nearest
from blurr.process.terminal import quiet
from blurr.runs.secrets import mask_text
from blurr.tracking.processes import HOST, PROCESS, is_dead, this_process
from blurr.tracking.sink import ERROR_TAG, IDENTITY_TAG
from blurr.tracking.sqlite import make_sqlite

log = logging.getLogger(__name__)

SQLITE = "sqlite:///"
FILE = f"tracking.uri={DEFAULT_STORE}"
DATABASES = "mlflow.store.db.utils"  # logs each failure of a database with its statement, over many lines
TABLES = frozenset({"experiments", "alembic_version"})  # two of MLflow's, the first and the last that it makes
# What MLflow raises if the store is missing, full, locked or unreachable; the errors of requests are OSErrors.
STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)
REFUSALS = frozenset(range(400, 500)) - NO_ANSWER_CODES
NOT_THERE = frozenset({400, 404})  # 400 for a text that cannot be the id of a run


def resolve_uri(uri: str | None) -> str:
    """Return the URI with an absolute SQLite path; refuse URIs that MLflow 3 cannot keep runs at.

    Args:
        uri: `sqlite:///<path>` (relative to the launch directory, or absolute), `http(s)://<host>:<port>`, or
            another address that MLflow accepts, such as `postgresql://…` and `databricks`; for None see `config.store`.

    Raises:
        InputError: `uri` is a folder or has no scheme.
    """
    uri = _absolute(store_uri(uri))
    if uri.startswith("file:") or ("://" not in uri and uri != "databricks"):
        raise InputError(
            f"{_named(uri)} is not an address that MLflow can keep runs at. It takes sqlite:///<file>.db, "
            "http(s)://<host>:<port>, postgresql://… or databricks; set tracking.uri to one of these, or tracking=none."
        )
    file = _file_of(uri)
    if file is not None and "%" in str(file):
        raise InputError(f"{_named(uri)}: MLflow cannot open a path with a %. Start blurr in that folder, and name it.")
    if file is not None and file.is_dir():
        raise InputError(f"{_named(uri)} is a folder. Name a file in it: {uri.rstrip('/')}/mlflow.db")
    return uri


def _absolute(uri: str) -> str:
    if not uri.startswith(SQLITE):
        return uri.rstrip("/")
    path, mark, options = uri.removeprefix(SQLITE).partition("?")
    full = str(Path.cwd() / Path(path).expanduser())
    # SQLAlchemy and MLflow read these two in ways of their own: below a folder with one, the path stays relative
    return SQLITE + (path if {"?", "%"} & set(full) else full) + mark + options


def _file_of(uri: str) -> Path | None:
    """Return the database file of a resolved URI; None for a server's."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]) if uri.startswith(SQLITE) else None


def _named(uri: str) -> str:
    """Return a resolved URI, without a password, after the key or the variable that says it."""
    said = os.environ.get(URI)
    return f"{URI if said and _absolute(said) == uri else 'tracking.uri'}={mask_text(uri)}"


def connect(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """Open the store at a resolved URI; return its client and the experiment's id.

    Raises:
        InputError: the address or the file is of another kind, the server refuses this user, or the experiment was
            deleted.
        ResourceError: the store does not answer, is locked, or cannot be written.
    """
    with _answering(uri), request_limits(retries=0, seconds=20):
        file = _file_of(uri)
        _check_database(uri)
        if file is not None:
            make_sqlite(uri, file, str(_artifact_location(uri)))
        client = MlflowClient(tracking_uri=uri)
        return client, _experiment_id(client, experiment, _artifact_location(uri))


@contextmanager
def _answering(uri: str) -> Iterator[None]:
    """Answer the failures of a store, in one message each."""
    try:
        with quiet(DATABASES, level=logging.CRITICAL):
            yield
    except ImportError as error:
        said = f"{_named(uri)} needs a package that is not installed ({error}). Install this database's driver, or use"
        raise InputError(f"{said} {FILE}.") from error
    except STORE_ERRORS as error:
        raise store_failure(error, _refusal(uri, str(error))) from error


def store_failure(error: Exception, message: str) -> BlurrError:
    """Return an InputError if MLflow refused a call, and a ResourceError if the store failed.

    Args:
        error: one of `STORE_ERRORS`.
        message: the message of the error that is returned.
    """
    if isinstance(error, MlflowException):
        # the error for a store of an older MLflow has no code of its own
        is_mistake = _status(error) in REFUSALS or "database schema" in str(error)
    else:
        is_mistake = isinstance(error, ArgumentError | FileNotFoundError) or "not a database" in str(error)
    return InputError(message) if is_mistake else ResourceError(message)


def _status(error: MlflowException) -> int:
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


@contextmanager
def asked(uri: str | None) -> Iterator[MlflowClient]:
    """Yield a client of a store that is read and not written.

    Args:
        uri: as `tracking.uri`.

    Raises:
        InputError: the address is not one of MLflow's, or MLflow refuses this user.
        ResourceError: MLflow does not answer.
    """
    resolved = resolve_uri(uri)
    with _answering(resolved), request_limits(retries=1, seconds=10):
        _check_database(resolved)
        yield MlflowClient(resolved, registry_uri(resolved))


def is_missing(uri: str | None) -> bool:
    """Return whether a store is a file that does not exist; MLflow would create it."""
    file = _file_of(resolve_uri(uri))
    return file is not None and not file.exists()


def run_with(name: str, uri: str | None) -> Run | None:
    """Find a run by the id that MLflow gave it, or by its identity; return None if this store has none.

    Args:
        name: MLflow's id, or the identity, see `runs.folder`.
        uri: see `asked`, also for what is raised.
    """
    if is_missing(uri):
        return None
    with asked(uri) as client:
        return _with_id(client, name) or _with_identity(client, name)


def download_files(run: Run, names: Collection[str], folder: Path, uri: str | None) -> None:
    """Download those of the named artifacts that a run has.

    Args:
        run: the run.
        names: of the files, at the top of the run's artifacts.
        folder: where they go; it exists.
        uri: see `asked`, also for what is raised.
    """
    with asked(uri) as client:
        for name in {file.path for file in client.list_artifacts(run.info.run_id)}.intersection(names):
            client.download_artifacts(run.info.run_id, name, str(folder))


def _with_id(client: MlflowClient, name: str) -> Run | None:
    try:
        return client.get_run(name)
    except MlflowException as error:
        if _status(error) not in NOT_THERE:
            raise
        return None


def _with_identity(client: MlflowClient, name: str) -> Run | None:
    places = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(places, f"tags.`{IDENTITY_TAG}` = '{name}'", max_results=1)
    return found[0] if found else None


def finished_runs(experiment: str, uri: str | None) -> list[Run]:
    """Return the finished runs of an experiment, the oldest first.

    Args:
        experiment: its name.
        uri: see `asked`, also for what else is raised.

    Raises:
        InputError: there is no such store, or MLflow has no such experiment.
    """
    if is_missing(uri):
        where = resolve_uri(uri)
        raise InputError(f"There is no MLflow store {where}. Name the one that has the runs: --uri sqlite:///…")
    with asked(uri) as client:
        there = {each.name: each.experiment_id for each in client.search_experiments()}
        if experiment in there:
            words = "attributes.status = 'FINISHED'"
            return list(client.search_runs([there[experiment]], words, order_by=["attributes.start_time ASC"]))
    raise InputError(f"MLflow has no experiment {experiment!r}.{nearest(experiment, there)} There are {sorted(there)}.")


def close_stale(client: MlflowClient, experiment_id: str, mine: str) -> None:
    """Close this host's runs that are RUNNING although their process is dead; `mine` is left alone."""
    here = f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{this_process()[HOST]}'"
    for run in client.search_runs([experiment_id], here):
        process, run_id = run.data.tags[PROCESS], run.info.run_id
        # Read again once the process is dead: it may have closed its run since the search.
        if run_id != mine and is_dead(process) and client.get_run(run_id).info.status == "RUNNING":
            reason = f"its process {process.partition(' ')[0]} was killed, or the machine went down"
            client.set_tag(run_id, ERROR_TAG, reason)
            client.set_terminated(run_id, "FAILED")
            log.warning("Closed the run %s as FAILED: %s.", run.info.run_name, reason)


@contextmanager
def request_limits(*, retries: int, seconds: int) -> Iterator[None]:
    """Make MLflow's requests fail early (by default they retry for minutes); limits set by the user are kept."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries), "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
    ours = {name: value for name, value in limits.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _check_database(uri: str) -> None:
    """Connect once: MLflow would try for 100 seconds, and add its tables to the file of another program.

    Raises:
        InputError: the file is the database of another program.
        SQLAlchemyError: the database does not answer, or the file is not a database.
    """
    file = _file_of(uri)
    if uri.partition(":")[0].partition("+")[0] not in DATABASE_ENGINES or (file is not None and not file.exists()):
        return
    engine = create_engine(uri)
    try:
        tables = inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if file is not None and tables and TABLES.isdisjoint(tables):
        raise InputError(
            f"{_named(uri)} is the database of another program, with the tables {tables[:5]}, to which MLflow would "
            "add its own. Name another file; MLflow makes one that does not exist."
        )


def _artifact_location(uri: str) -> str | None:
    """Return a folder beside the database, or in the launch directory; None for a server, which has its own."""
    if uri.startswith(("http://", "https://", "databricks")):
        return None
    file = _file_of(uri)
    beside = Path.cwd() if file is None else file.parent
    return (beside / "mlartifacts").absolute().as_uri()


def _experiment_id(client: MlflowClient, name: str, artifact_location: str | None) -> str:
    found = client.get_experiment_by_name(name) or _make_experiment(client, name, artifact_location)
    if found.lifecycle_stage == "deleted":
        raise InputError(
            f"The experiment tracking.experiment={name} was deleted in MLflow. Restore it with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or choose another name."
        )
    return str(found.experiment_id)


# makes MLflow's UI open on its pages for trained models rather than for agents and prompts
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


def _make_experiment(client: MlflowClient, name: str, artifact_location: str | None) -> Experiment:
    try:
        made = client.create_experiment(name, artifact_location=artifact_location, tags=EXPERIMENT_TAGS)
        return client.get_experiment(made)
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found  # another process has created it


def _refusal(uri: str, reason: str) -> str:
    reason = mask_text(reason.strip().partition("\n")[0])[:300]
    remedy = f"{FILE}, which needs no server, or tracking=none"
    if uri.startswith("http"):
        remedy = f"start the server (`mlflow server`) or correct the address; or use {remedy}"
    elif uri.startswith(SQLITE):
        upgrade = "`mlflow db upgrade` upgrades an old store, and a new one needs its version of MLflow"
        remedy = f"set tracking.uri=sqlite:///<another>.db or tracking=none; {upgrade}"
    return f"MLflow cannot use {_named(uri)}: {reason.rstrip('.')}. To go on: {remedy}."
