"""Addresses that name no store of MLflow's: each is one message, at once, and what is there stays as it is."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from blurr.errors import InputError, ResourceError
from blurr.serve.model_folder import model_folder
from blurr.tracking.finding import find_run
from blurr.tracking.store import finished_runs
from blurr.tracking.trackers import MLflowTracker, tracked_run

DOORS = {
    "run": lambda uri: tracked_run(
        MLflowTracker(uri), folder=Path("run"), config={}, overrides=[], tags={}
    ).__enter__(),
    "sweep": lambda uri: MLflowTracker(uri).prepare(),
    "report": lambda uri: find_run("a" * 32, uri=uri),
    "leaderboard": lambda uri: finished_runs("blurr", uri),
    "predict": lambda uri: model_folder("a" * 32),
}


@pytest.fixture(params=DOORS)
def ask(request, monkeypatch):
    """A door through which a store is reached."""

    def through(uri: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        DOORS[request.param](uri)

    return through


@pytest.fixture
def places(work, store_uri) -> Path:
    """A folder with what an address may name by mistake."""
    (work / "folder").mkdir()
    (work / "notes.db").write_text("These are notes, and no database at all.\n" * 50)
    with closing(sqlite3.connect(work / "films.db")) as database:
        database.execute("create table films (title)")
        database.execute("insert into films values ('Solaris')")
        database.commit()
    with closing(sqlite3.connect(store_uri.removeprefix("sqlite:///"))) as database:
        database.execute("vacuum into 'newer.db'")  # to copy the file would drop the locks that this process has on it
    with closing(sqlite3.connect(work / "newer.db")) as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
        database.commit()
    return work


MISTAKES = {
    "folder": "is a folder. Name a file in it: sqlite:.*/folder/mlflow.db",
    "notes.db": "file is not a database.*To go on",
    "films.db": r"is the database of another program, with the tables \['films'\].*Name another file",
    "newer.db": "database schema.*a new one needs its version of MLflow",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_is_not_a_store_is_one_message_at_once_and_stays_as_it_is(name, ask, places):
    before = (places / name).read_bytes() if (places / name).is_file() else None
    start = time.monotonic()
    with pytest.raises(InputError, match=f"MLFLOW_TRACKING_URI=sqlite:.*{MISTAKES[name]}"):
        ask(f"sqlite:///{name}")
    assert time.monotonic() - start < 10
    assert before is None or (places / name).read_bytes() == before
    assert not any((places / "folder").iterdir())


def test_a_database_without_its_driver_is_one_message(ask, work):
    with pytest.raises(InputError, match="needs a package that is not installed"):
        ask("postgresql+pg8000://me@127.0.0.1/x")


def test_a_path_that_mlflow_would_read_otherwise_is_one_message(ask, work):
    with pytest.raises(InputError, match="MLflow cannot open a path with a %. Start blurr in that folder"):
        ask("sqlite:///a%41b/mlflow.db")


def test_a_file_below_a_file_is_a_failure_of_the_machine(places):
    with pytest.raises(ResourceError, match="MLflow cannot use tracking.uri=sqlite:.*notes.db/mlflow.db"):
        DOORS["run"]("sqlite:///notes.db/mlflow.db")


@pytest.mark.parametrize("name", ["a?b %41 #c", 'it\'s "here" & ünï 日本 \\ $HOME'], ids=["of addresses", "of shells"])
@pytest.mark.slow
def test_a_store_in_a_launch_folder_of_any_name_has_the_run_and_its_files(name, work, monkeypatch):
    (work / name).mkdir()
    monkeypatch.chdir(work / name)
    (work / name / "notes.txt").write_text("mine")
    with tracked_run(MLflowTracker(), folder=Path("run").absolute(), config={}, overrides=[], tags={}) as run:
        run.artifact(Path("notes.txt"))
    assert find_run(run.id) == work / name / "run"
    assert (work / name / "mlflow.db").is_file()
    assert len(list((work / name / "mlartifacts").rglob("notes.txt"))) == 1
    assert sorted(path.name for path in work.iterdir()) == [name]
