"""What a record makes blurr send, and where: nothing of the environment, and nowhere that the user does not say."""

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from blurr.config import checks, destinations
from blurr.config.composing import compose
from blurr.errors import InputError
from blurr.reproduce import config_of, reproduce
from blurr.runs import resume
from blurr.runs.journal import Journal
from blurr.runs.record import Record
from blurr.sweep import resuming
from blurr.sweep.ledger import Ledger
from blurr.tracking.finding import find_run

SECRET = "of-my-environment"
EVIL = "http://evil:5000"


@pytest.fixture(autouse=True)
def environment(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_SECRET", SECRET)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    destinations.remember([], [])


def leave_run(folder: Path, *words: str) -> None:
    folder.mkdir()
    (folder / "overrides.yaml").write_text(yaml.safe_dump(list(words)))


def go_on(*given: str) -> None:
    """Do what `blurr run` does with a command line, up to the check of its config."""
    words = resume.expand(list(given), find_run)
    destinations.remember(given, words)
    checks.check(compose(words))


# -- the environment


@pytest.mark.parametrize("key", ["+tracking.tags.x", "tracking.run_name", "tracking.uri", "model.name"])
def test_two_overrides_that_together_name_the_environment_are_refused(work: Path, key: str):
    leave_run(work / "out", "+a='$'", "+b='{oc.env:MY_SECRET}'", f"{key}='${{a}}${{b}}'")
    with pytest.raises(InputError, match="out says .*which is looked up elsewhere") as refused:
        go_on("resume=out")
    assert SECRET not in str(refused.value)


def test_pieces_that_an_option_of_the_users_joins_are_refused_too(work: Path):
    (work / "tracking").mkdir()
    mine = "_target_: blurr.tracking.trackers.MLflowTracker\nrun_name: ${first}${second}\n"
    (work / "tracking" / "mine.yaml").write_text(mine)
    words = ["tracking=mine", "+first='$'", "+second='{oc.env:MY_SECRET}'"]
    leave_run(work / "out", *words)
    with pytest.raises(InputError, match="The record of resume=out, with your options, makes tracking.run_name=") as no:
        go_on("resume=out")
    assert SECRET not in str(no.value)
    assert compose(words).tracking.run_name == "${oc.env:MY_SECRET}"


def test_a_record_may_refer_to_what_it_says_itself(work: Path):
    leave_run(work / "out", "seed=3", "optimizer.lr=0.1", "loader.seed='${seed}'", "optimizer.eps='${optimizer.lr}'")
    go_on("resume=out")


def test_the_users_own_options_and_words_read_the_environment_as_ever(work: Path, monkeypatch):
    leave_run(work / "out", "tracking=server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:5000")
    go_on("resume=out", "tracking.run_name=${oc.env:MY_SECRET}")
    go_on("tracking.uri=${oc.env:MLFLOW_TRACKING_URI}")


def leave_config(folder: Path, **tracking: object) -> Record:
    folder.mkdir(exist_ok=True)
    config = {"model": {"weights": "auto"}, "loader": {"batch_size": "auto"}, "a": "$", "b": "{oc.env:MY_SECRET}"}
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "tracking": tracking}))
    return Record(folder)


def test_a_config_that_is_run_again_is_not_interpolated_again(work: Path):
    record = leave_config(work / "out")
    with pytest.raises(InputError, match=r"makes tracking\.tags\.x=\$\{oc\.env:MY_SECRET\}, which is looked up"):
        config_of(record, ["tracking.tags.x=${a}${b}"])
    assert config_of(record, ["tracking.tags.x=${oc.env:MY_SECRET}"]).tracking.tags.x == SECRET
    Journal(tags={"blurr.weights": "${oc.env:MY_SECRET}"}).write(work / "out")
    assert config_of(Record(work / "out"), []).model.weights == "auto"


# -- where runs are recorded


def refusal(*given: str) -> list[str]:
    """Return the command line that the message spells out."""
    with pytest.raises(InputError, match="does not choose where data goes") as refused:
        go_on(*given)
    return shlex.split(str(refused.value).rpartition("say so yourself: ")[2])


@pytest.mark.parametrize(
    "uri",
    [
        *(EVIL, "databricks", "postgresql://evil/db", "sqlite:////elsewhere/mlflow.db", "sqlite:///../mlflow.db"),
        *("sqlite:///here.db?vfs=evil", "sqlite+pysqlite:///here.db", "sqlite:///link/mlflow.db", "sqlite:///~/a.db"),
    ],
)
def test_a_store_that_only_the_record_names_needs_the_users_word(work: Path, uri: str):
    (work / "link").symlink_to("/")
    leave_run(work / "out", f"tracking.uri='{uri}'")
    blurr, run, *words = refusal("resume=out")
    assert (blurr, run, words[0]) == ("blurr", "run", "resume=out")
    go_on(*words)


def test_the_command_line_of_the_message_keeps_what_was_given(work: Path):
    leave_run(work / "out", f"tracking.uri={EVIL}")
    given = ("resume=out", "tracking.run_name='two words'")
    assert refusal(*given) == ["blurr", "run", *given, f"tracking.uri={EVIL}"]


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:///mine/runs.db", "sqlite:///{work}/mine/runs.db"])
def test_a_file_below_the_launch_folder_is_used(work: Path, uri: str):
    leave_run(work / "out", f"tracking.uri='{uri.format(work=work)}'")
    go_on("resume=out")


def test_a_store_that_the_environment_or_an_option_names_is_used(work: Path, monkeypatch):
    leave_run(work / "out", f"tracking.uri={EVIL}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{EVIL}/")
    go_on("resume=out")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for file, text in (("tracking/mine.yaml", f"uri: {EVIL}"), ("experiments/mine.yaml", f"tracking: {{uri: {EVIL}}}")):
        Path(file).parent.mkdir()
        Path(file).write_text(text)
        go_on("resume=out")
        Path(file).unlink()
    refusal("resume=out")


def store(file: Path, location: str, *also: str) -> None:
    """Write what MLflow writes down of its experiments and runs."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        database.execute("CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT)")
        database.execute("INSERT INTO experiments VALUES ('blurr', ?)", [location])
        database.execute("INSERT INTO runs VALUES ('1', ?)", [f"{location}/1/artifacts"])
        for statement in also:
            database.execute(statement)


@pytest.mark.parametrize(
    "location", ["s3://evil/x", "http://evil/x", "file://evil/x", "file:///elsewhere", "/elsewhere", "../elsewhere", ""]
)
def test_a_store_below_the_launch_folder_whose_artifacts_go_elsewhere_needs_the_users_word(work: Path, location: str):
    store(work / "brought.db", location)
    leave_run(work / "out", "tracking.uri=sqlite:///brought.db")
    go_on(*refusal("resume=out")[2:])


def test_a_store_that_changes_what_is_written_needs_the_users_word(work: Path):
    here = (work / "mlartifacts").as_uri()
    store(work / "mine.db", here)
    store(work / "brought.db", here, "CREATE TRIGGER evil AFTER INSERT ON runs BEGIN DELETE FROM runs; END")
    leave_run(work / "out", "tracking.uri=sqlite:///mine.db")
    go_on("resume=out")
    leave_run(work / "other", "tracking.uri=sqlite:///brought.db")
    refusal("resume=other")


def test_a_file_that_is_no_store_is_not_taken_for_one(work: Path):
    (work / "rows.db").write_text("no database, but long enough to be looked at as one" * 10)
    assert not destinations.is_named(destinations.STORE, "sqlite:///rows.db")
    sqlite3.connect(work / "empty.db").close()
    assert destinations.is_named(destinations.STORE, "sqlite:///empty.db")


def test_words_that_are_only_written_in_another_way_are_no_records(work: Path):
    given = ["-m", "seed=1,2", "sweep.on_failure=retry(2)"]
    destinations.remember(given, resuming.expand(given))
    checks.check(compose([f"tracking.uri={EVIL}"]))


def test_a_real_store_below_the_launch_folder_is_used(work: Path, store_uri: str, monkeypatch):
    monkeypatch.chdir(Path(store_uri.removeprefix("sqlite:///")).parent)
    assert destinations.is_named(destinations.STORE, store_uri)
    monkeypatch.chdir(work)
    assert not destinations.is_named(destinations.STORE, store_uri)


def test_a_run_that_is_run_again_goes_nowhere_that_only_its_record_names(work: Path):
    leave_config(work / "out", _target_="blurr.tracking.trackers.MLflowTracker", uri=EVIL)
    with pytest.raises(InputError, match=f"say so yourself: blurr reproduce out seed=3 tracking.uri={EVIL}$"):
        reproduce("out", uri="sqlite:///mlflow.db", changes=["seed=3"])
    for named in ({"uri": EVIL}, {"uri": "sqlite:///mlflow.db", "changes": [f"tracking.uri={EVIL}"]}):
        with pytest.raises(Exception, match=r"task|Missing key"):  # this config goes on to its task, which it lacks
            reproduce("out", **named)


# -- sweeps


def leave_sweep(work: Path, *words: str) -> None:
    folder = work / "multirun" / "first"
    folder.mkdir(parents=True)
    Ledger(folder).begin(name="first", argv=["-m", *words], words=list(words), weights="auto")


@pytest.mark.parametrize(
    "words",
    [
        ["sweep.storage=sqlite:///optuna.db"],
        [f"tracking.uri={EVIL}"],
        [f"tracking.uri={EVIL},sqlite:///mlflow.db"],
        ["sweep/executor=ray", "sweep.executor.address=ray://evil:10001"],
    ],
    ids=["storage", "store", "a store among others", "cluster"],
)
@pytest.mark.slow
def test_a_sweep_that_is_gone_on_with_sends_nothing_where_only_its_record_says(work: Path, blurr, words: list[str]):
    leave_sweep(work, "seed=1,2", "model.weights=scratch", *words)
    done = blurr("run", "sweep.resume=first")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    *_, said = shlex.split(done.stderr)
    assert f"say so yourself: blurr run sweep.resume=first {said}" in done.stderr
    assert words[-1].startswith(said)
    assert not (work / "optuna.db").exists()
