"""Runs that are run again: what is read of them, and what is said to be different."""

import json
import re

import pytest
import yaml
from mlflow import MlflowClient

from blurr.errors import InputError
from blurr.reproduce import Record, compare, config_of, differences, read_folder, read_run
from blurr.tracking.environment import describe_environment, git_state


@pytest.fixture
def record(work):
    """A run that was recorded here and now."""
    environment = json.loads(json.dumps(describe_environment(git_state(work))))
    config = {"model": {"weights": "auto"}, "output_dir": "x", "seed": 1}
    return Record("a run", config, ["seed=1"], environment, {"valid/f1": 0.5}, {"blurr.weights": "scratch"}, "abc")


def test_nothing_is_different_here_and_now(record):
    assert list(differences(record, "abc")) == []


def test_other_versions_and_other_data_are_named(record):
    record.environment["packages"]["torch"] = "1.0"
    found = {what: then for what, then, _ in differences(record, "xyz")}
    assert found == {"packages.torch": "1.0", "data": "abc"}


def test_the_weights_are_those_that_were_used_and_the_folder_is_a_new_one(record):
    cfg = config_of(record, ["seed=2"])
    assert (cfg.model.weights, cfg.seed) == ("scratch", 2)
    assert "outputs/reproduced-" in cfg.output_dir


def test_what_was_hidden_must_be_given(record):
    record.config["data"] = {"token": "***"}
    with pytest.raises(InputError, match=r"data\.token were hidden in the record\. Give them: .*data\.token=…"):
        config_of(record, [])
    assert config_of(record, ["data.token=x"]).data.token == "x"


def test_metrics_are_compared_up_to_the_last_digits():
    nan = float("nan")
    assert list(compare({"a": 0.5, "b": nan}, {"a": 0.5 + 1e-9, "b": nan})) == []
    assert list(compare({"a": 0.5}, {"a": 0.6, "b": 1.0})) == [("a", "0.5", "0.6"), ("b", "nan", "1")]


def test_a_folder_without_a_config_is_refused(work):
    with pytest.raises(InputError, match=r"recorded no config\.yaml, so it cannot be run again"):
        read_folder(work, "it")


def test_a_run_that_there_is_not_is_refused(work, store_uri):
    with pytest.raises(
        InputError, match=r"There is no folder nothing, and no MLflow store .*Give the store with --uri"
    ):
        read_run("nothing", "sqlite:///nowhere.db")
    with pytest.raises(InputError, match="has no run nothing"):
        read_run("nothing", store_uri)


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
