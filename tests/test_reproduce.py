"""Runs that are run again: what is read of them, and what is said to be different."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from blurr.errors import InputError
from blurr.process.setup import VARIABLE
from blurr.reproduce import _set_threads, compare, config_of, differences, reproduce
from blurr.runs.record import Record
from blurr.tracking.environment import describe_environment, git_state
from blurr.tracking.finding import record_of


def leave(folder: Path, **files: object) -> Record:
    """Write the files of a run that was recorded here and now; `files` replace some."""
    usual = {
        "config.yaml": {"model": {"weights": "auto"}, "output_dir": "x", "seed": 1},
        "overrides.yaml": ["seed=1"],
        "environment.json": describe_environment(git_state(folder)),
        "metrics.json": {"valid/f1": 0.5},
        "run.json": {"status": "FINISHED", "tags": {"blurr.weights": "scratch"}},
        "facts.json": {"fingerprint": "abc"},
    }
    for name, content in {**usual, **files}.items():
        (folder / name).write_text(json.dumps(content))
    return Record(folder)


@pytest.fixture
def record(work):
    return leave(work)


def test_nothing_is_different_here_and_now(record):
    assert list(differences(record, "abcdef")) == []


def test_other_versions_and_other_data_are_named(work):
    environment = json.loads(json.dumps(describe_environment(git_state(work))))
    environment["packages"]["torch"] = "1.0"
    record = leave(work, **{"environment.json": environment})
    found = {what: then for what, then, _ in differences(record, "xyz")}
    assert found == {"packages.torch": "1.0", "data": "abc"}


def test_the_weights_are_those_that_were_used_and_the_folder_is_a_new_one(record):
    cfg = config_of(record, ["seed=2"])
    assert (cfg.model.weights, cfg.seed) == ("scratch", 2)
    assert "outputs/reproduced-" in cfg.output_dir


def test_the_threads_are_those_of_the_record_unless_others_are_given(work, monkeypatch):
    import torch

    monkeypatch.setenv(VARIABLE, "1")  # so that it is put back
    before, record = torch.get_num_threads(), leave(work, **{"environment.json": {"threads": 1}})
    for changes, threads in ((["threads=2"], "2"), ([], "1")):
        monkeypatch.delenv(VARIABLE)
        _set_threads(record, config_of(record, changes), changes)
        assert os.environ[VARIABLE] == threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "used", "again"),
    [(None, "5e-05", 5e-5), (None, "slice(2.5e-05, 0.002, None)", [2.5e-5, 2e-3]), (3e-4, "0.0003", 3e-4)],
    ids=["default", "default of several groups", "asked for"],
)
def test_the_default_rate_is_the_one_that_was_used(work, asked, used: str, again):
    config = {"model": {}, "optimizer": {"lr": asked}}
    record = leave(work, **{"config.yaml": config, "run.json": {"status": "FINISHED", "tags": {"blurr.lr": used}}})
    assert config_of(record, []).optimizer.lr == again


def test_what_was_hidden_must_be_given(work):
    record = leave(work, **{"config.yaml": {"data": {"token": "***"}, "model": {}}})
    with pytest.raises(InputError, match=r"data\.token were hidden in the record\. Give them: .*data\.token=…"):
        config_of(record, [])
    assert config_of(record, ["data.token=x"]).data.token == "x"


def test_metrics_are_compared_up_to_the_last_digits():
    nan = float("nan")
    assert list(compare({"a": 0.5, "b": nan}, {"a": 0.5 + 1e-9, "b": nan})) == []
    assert list(compare({"a": 0.5}, {"a": 0.6, "b": 1.0})) == [("a", "0.5", "0.6"), ("b", "nan", "1")]


def test_a_run_without_a_config_is_refused(work, store_uri):
    (work / "overrides.yaml").write_text("[]")
    with pytest.raises(InputError, match=r"recorded no config\.yaml, so it cannot be run again"):
        reproduce(str(work), uri=store_uri)


def test_a_run_that_there_is_not_is_refused(work, store_uri):
    with pytest.raises(InputError, match=r"no run nothing: .*no MLflow store sqlite:///nowhere.db \(--uri"):
        reproduce("nothing", uri="sqlite:///nowhere.db")
    with pytest.raises(InputError, match="no run nothing: no folder .*, and no run of that id or identity in"):
        reproduce("nothing", uri=store_uri)


def test_mlflow_has_a_copy_of_what_a_run_is_run_again_by(work, store_uri, client):
    experiment = client.get_experiment_by_name("blurr").experiment_id
    run = client.create_run(experiment, tags={"blurr.identity": "it", "blurr.weights": "scratch"}).info.run_id
    client.log_text(run, "seed: 1\n", "config.yaml")
    client.log_text(run, "a log", "blurr.log")
    for name in (run, "it"):
        with record_of(name, uri=store_uri) as record:
            assert (record.config, record.identity) == ({"seed": 1}, "it")
            assert record.tags["blurr.weights"] == "scratch"
            assert {file.name for file in record.folder.iterdir()} == {"config.yaml", "run.json"}
    assert not record.folder.exists()


@pytest.mark.slow
def test_a_run_gives_the_same_when_it_is_run_again(blurr, work):
    small = ("model.weights=scratch", "data.limit=32", "schedule.epochs=1")
    assert blurr("run", *small, "output_dir=first").returncode == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{work}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("blurr").experiment_id])
    done = blurr("reproduce", run.info.run_id)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("^nothing", done.stdout, re.MULTILINE)) == 2
    other = blurr("reproduce", "first", "seed=7")
    assert other.returncode == 1
    assert "valid/loss" in other.stdout
    assert yaml.safe_load((work / "first" / "config.yaml").read_text())["seed"] == 42
