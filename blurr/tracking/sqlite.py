"""Make an MLflow store of a SQLite file, whole, whatever runs beside it or kills it.

This module loads MLflow; import it only when a run is opened.
"""

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlMetric
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import insert, text

from blurr.process.terminal import quiet
from blurr.runs.asides import new_aside
from blurr.runs.journal import Point

log = logging.getLogger(__name__)

MIGRATIONS = ("alembic", "mlflow.store.db.utils")  # these log two hundred lines when they create a store


def make_sqlite(uri: str, path: Path, artifacts: str) -> None:
    """Create the database once, even if several processes ask for it at the same time.

    Parallel first use breaks MLflow's migrations, and so does a kill between two of them, so that a new database is
    made aside. The switch to WAL, with which trials can write concurrently, comes last and so marks a complete store.

    Args:
        uri: address of the store.
        path: the file of that address.
        artifacts: quoted address of the folder for artifacts: MLflow puts it into SQL as it is.
    """
    if _is_wal(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=300), quiet(*MIGRATIONS):
        if not path.exists():
            with new_aside(path) as folder:
                made = folder / path.name
                _migrate(uri.replace(str(path), str(made), 1), made, artifacts)
                os.replace(made, path)
        elif not _is_wal(path):
            _migrate(uri, path, artifacts)


def _migrate(uri: str, path: Path, artifacts: str) -> None:
    SqlAlchemyStore(uri, artifacts).engine.dispose()  # type: ignore[no-untyped-call]
    _switch_to_wal(path)


# Of MLflow's table of metrics; of a version with others, `history_of` returns None.
COLUMNS = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}
# As MLflow sets them: milliseconds to wait for other writers; a run must be there.
PRAGMAS = ("busy_timeout = 20000", "foreign_keys = ON")


def history_of(client: MlflowClient) -> SqlAlchemyStore | None:
    """Return a client's store if `add_history` can write to it, which is not so for servers and other databases."""
    store = client._tracking_client.store
    is_sqlite = isinstance(store, SqlAlchemyStore) and store.db_type == "sqlite"
    return store if is_sqlite and set(SqlMetric.__table__.columns.keys()) == COLUMNS else None


def add_history(store: SqlAlchemyStore, run_id: str, points: Sequence[Point]) -> None:
    """Write values of metrics that are not the last of their names, in one statement; those that are there stay.

    MLflow makes an object of each value, which takes it ten times as long as SQLite takes to keep it. The last value
    of each name is left to MLflow, which has a table of its own for it.
    """
    rows: list[dict[str, Any]] = []
    for key, value, time, step in points:
        is_nan, number = store.sanitize_metric_value(value)
        rows.append(
            {"run_uuid": run_id, "key": key, "value": number, "is_nan": is_nan, "timestamp": time, "step": step}
        )
    with store.engine.begin() as connection:
        for pragma in PRAGMAS:
            connection.execute(text(f"PRAGMA {pragma}"))
        connection.execute(insert(SqlMetric.__table__).prefix_with("OR IGNORE"), rows)


def _is_wal(path: Path) -> bool:
    """Ask SQLite: opening the file directly would drop this process's locks on it when it is closed."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=20)) as database:
            return bool(database.execute("PRAGMA journal_mode").fetchone() == ("wal",))
    except sqlite3.DatabaseError:  # MLflow's own message says more about the file
        return False


def _switch_to_wal(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, timeout=20)) as database:
            database.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:  # another program uses the store, which works without WAL, but slower
        log.info("The store %s keeps working without a write-ahead log: %s", path, error)
