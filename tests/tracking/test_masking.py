"""Secrets are hidden in what a run writes down; everything else is left as it is."""

import os
from threading import Event, Thread

import pytest

from blurr.runs.secrets import mask_config, mask_overrides, mask_text
from blurr.tracking.trackers import NoTracker, tracked_run


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://me:hunter2@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql+psycopg://me:p@ss@host/db", "postgresql+psycopg://me:***@host/db"),
        ("https://host/x?token=abc&n=1", "https://host/x?token=***&n=1"),
        ("login failed for hf_" + "a" * 30, "login failed for ***"),
        ("login failed: db_password=abc, user=me", "login failed: db_password=*** user=me"),
        ("{'db': {'password': 'abc', 'user': 'me'}}", "{'db': {'password': '***', 'user': 'me'}}"),
        ("eos_token: </s>, hf_token: abc", "eos_token: </s>, hf_token: ***"),
        (
            "http://127.0.0.1:5000 max_tokens=512 sqlite:////mlflow.db",
            "http://127.0.0.1:5000 max_tokens=512 sqlite:////mlflow.db",
        ),
    ],
    ids=["uri", "uri with @", "query", "hub token", "assignment", "dict", "yaml", "nothing"],
)
def test_text(text, masked):
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "name", ["password", "db_password", "api_key", "apikey", "token", "hf_token", "aws_secret_access_key", "secret"]
)
def test_a_secret_name_hides_its_value(name):
    assert mask_config({"a": {name: "x"}}) == {"a": {name: "***"}}
    assert mask_overrides([f"+a.{name}=x"]) == [f"+a.{name}=***"]


@pytest.mark.parametrize("name", ["max_tokens", "tokens", "tokenizer", "pad_token", "keys", "monkey"])
def test_a_harmless_name_keeps_its_value(name):
    assert mask_config({name: "x"}) == {name: "x"}


def test_plain_types_stay_and_others_become_text(tmp_path):
    config = {"a": None, "b": True, "c": 1.5, "d": [1, (2,)], "e": tmp_path, "password": None}
    assert mask_config(config) == {"a": None, "b": True, "c": 1.5, "d": [1, [2]], "e": str(tmp_path), "password": None}


def test_overrides_without_a_value_stay():
    assert mask_overrides(["~callbacks", "model=bart", "tracking.uri=http://a:b@c"]) == [
        "~callbacks", "model=bart", "tracking.uri=http://a:***@c",
    ]  # fmt: skip


def test_a_password_reaches_neither_the_files_nor_mlflow(tracker, client, folder):
    uri = "http://me:hunter2@127.0.0.1:5000"
    config = {"tracking": {"uri": uri}, "db": {"password": "hunter2"}}
    with (
        pytest.raises(RuntimeError),
        tracked_run(tracker, folder=folder, config=config, overrides=[f"tracking.uri={uri}"], tags={"a": uri}) as run,
    ):
        raise RuntimeError(f"no answer from {uri}")
    for path in folder.iterdir():
        if path.name not in ("git.diff", "error.txt"):
            assert "hunter2" not in path.read_text()
    assert "hunter2@" not in (folder / "error.txt").read_text()
    data = client.get_run(run.id).data
    assert "hunter2" not in str(data.params) + str(data.tags)
    assert data.params["tracking.uri"] == "http://me:***@127.0.0.1:5000"


def test_a_password_is_masked_without_mlflow_too(folder):
    with tracked_run(NoTracker(), folder=folder, config={"token": "hunter2"}, overrides=["token=hunter2"], tags={}):
        pass
    assert "hunter2" not in (folder / "config.yaml").read_text() + (folder / "overrides.yaml").read_text()


def test_secrets_of_the_environment_are_masked_wherever_they_turn_up(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    monkeypatch.setenv("SOME_TOKEN_COUNT", "123456789")
    monkeypatch.setenv("PWD", "/home/you/reviews")  # a folder, which many a text names
    monkeypatch.setenv("DB_PASSWORD", "abc")  # too short to be looked for: it is part of other words
    text = "no entry with 'correct horse', 123456789 alphabcs /home/you/reviews"
    assert mask_text(text) == "no entry with '***', 123456789 alphabcs /home/you/reviews"


def test_a_variable_that_another_thread_sets_and_removes_does_no_harm():
    stop = Event()

    def change() -> None:
        while not stop.is_set():
            os.environ["BLURR_TEST_LIMIT"] = "20"
            os.environ.pop("BLURR_TEST_LIMIT", None)

    changing = Thread(target=change)
    changing.start()
    try:
        assert {mask_text("plain") for _ in range(3000)} == {"plain"}
    finally:
        stop.set()
        changing.join()
