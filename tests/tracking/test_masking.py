"""Secrets are hidden in what a run writes down; everything else is left as it is."""

import logging
import os
import subprocess
from pathlib import Path
from threading import Event, Thread

import pytest

from blurr.runs.secrets import MaskingFormatter, mask_config, mask_overrides, mask_text
from blurr.sweep.configurations import configurations_of
from blurr.sweep.export import experiment_yaml
from blurr.sweep.ledger import Ledger
from blurr.tracking.trackers import NoTracker, tracked_run


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://me:hunter2@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql+psycopg://me:p@ss@host/db", "postgresql+psycopg://me:***@host/db"),
        ("https://host/x?token=abc&n=1", "https://host/x?token=***&n=1"),
        ("login failed for hf_" + "a" * 30, "login failed for ***"),
        ("login failed: db_password=abc, user=me", "login failed: db_password=***, user=me"),
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


# Each kind of secret, in a text that gives it away; what must not be found again is the capital word or what has it.
LEAK = "Hunter2Hunter2Hunter2"
PLANTED = {
    "variable": f"PGPASSWORD={LEAK}",
    "short variable": f"DB_PASS={LEAK}",
    "session": f"AWS_SESSION_TOKEN={LEAK}",
    "key": f"OPENAI_KEY: {LEAK}",
    "quoted": f"gitlab_token = 'a {LEAK}'",
    "json": f'{{"password": "{LEAK}"}}',
    "json in json": f'{{\\"password\\": \\"{LEAK}\\"}}',
    "token in an address": f"http://{LEAK}@host/x",
    "slash in an address": f"postgresql://me:pa/{LEAK}@host/db",
    "query": f"https://host/x?token={LEAK}",
    "bearer": f"Authorization: Bearer {LEAK}",
    "basic": f"'Authorization': 'Basic {LEAK}=='",
    "scheme": f"Bearer {LEAK}",
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.{LEAK}.{LEAK}",
    "github": f"github_pat_{LEAK}",
    "github, old": f"ghp_{LEAK}",
    "gitlab": f"glpat-{LEAK}",
    "slack": f"xoxb-{LEAK}",
    "openai": f"sk-proj-{LEAK}",
    "anthropic": f"sk-ant-{LEAK}",
    "hub": f"hf_{LEAK}",
    "google": f"AIza{LEAK}{'x' * (35 - len(LEAK))}",
    "pem": f"-----BEGIN RSA PRIVATE KEY-----\n{LEAK}\n-----END RSA PRIVATE KEY-----",
}
NAMES = ["PGPASSWORD", "db_pass", "aws_session_token", "GITLAB_TOKEN", "openai_key", "apiKey", "credentials"]
NO_SECRETS = [
    *("pad_token", "max_tokens", "tokens", "key", "sort_key", "label_key", "mask_token", "forward_pass", "tokenizer"),
    *("decoder_start_token", "first_token", "SOME_TOKEN_COUNT", "token_classification", "image_token", "monkey"),
]


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_a_secret_of_each_kind_is_masked_once(text):
    masked = mask_text(f"before {text} after")
    assert LEAK not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert mask_text(masked) == masked


@pytest.mark.parametrize("name", NO_SECRETS)
def test_other_names_keep_their_values(name):
    assert mask_config({"a": {name: "x"}}) == {"a": {name: "x"}}
    assert mask_text(f"{name}=x, {name}: 'x'") == f"{name}=x, {name}: 'x'"


def test_code_and_columns_keep_their_tokens():
    code = "for token in tokens: token = tokenizer.pad_token"
    assert mask_text(code) == code
    assert mask_config({"columns": {"token": "word", "label": "password"}}) == {
        "columns": {"token": "word", "label": "password"}
    }
    assert mask_overrides(["data.columns.token=word"]) == ["data.columns.token=word"]
    assert mask_text("http://host:8000/a@b ssh://git@host/a") == "http://host:8000/a@b ssh://git@host/a"


@pytest.mark.parametrize(
    ("override", "masked"),
    [
        ("+model.model_kwargs={token: x}", "+model.model_kwargs={token:'***'}"),
        ("a.b={n: 1, db: {password: 'z, y'}}", "a.b={n:1,db:{password:'***'}}"),
        ("+a=[{api_key: x}, null, true, 'it\\'s']", "+a=[{api_key:'***'},null,true,'it\\'s']"),
        ("+a={token: x},{token: y}", "+a={token: ***},{token: ***}"),
        ("+a={b: [1, two]}", "+a={b: [1, two]}"),
        ("credentials.user=x", "credentials.user=***"),
        ("a.password='x y'", "a.password=***"),
        ("a.url='https://h/?token=x'", "a.url='https://h/?token=***'"),
    ],
)
def test_secrets_within_the_value_of_an_override_are_masked(override, masked):
    assert mask_overrides([override]) == [masked]
    assert mask_overrides([masked]) == [masked]


def test_no_secret_is_left_in_anything_that_a_run_and_a_sweep_write(tracker, store_uri, work, monkeypatch):
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    git("init")
    (work / "code.py").write_text("")
    git("add", "code.py")
    git("commit", "-m", "one")
    (work / "code.py").write_text("\n".join(PLANTED.values()))
    monkeypatch.setenv("SOME_KEY", f"{LEAK} of the environment")
    folder, texts = work / "out", dict(enumerate(PLANTED.values()))
    nested = dict.fromkeys(NAMES, LEAK) | {
        "headers": {"Authorization": f"Bearer {LEAK}"},
        "list": [{"token": LEAK}],
    }
    words = [*(f"+a.{name}={LEAK}" for name in NAMES), f"+b={{x: {{token: {LEAK}}}}}", f"tracking.uri=http://{LEAK}@h"]
    tags = {"note": "; ".join(PLANTED.values()), "db_password": LEAK}
    line = logging.LogRecord("a", logging.INFO, "a.py", 1, "%s", ("; ".join(PLANTED.values()),), None)
    with (
        pytest.raises(RuntimeError),
        tracked_run(tracker, folder=folder, config={"a": nested, "b": texts}, overrides=words, tags=tags) as run,
    ):
        (folder / "blurr.log").write_text(MaskingFormatter("%(message)s").format(line))
        run.artifact(folder / "blurr.log")
        run.log_resolved(batch_size=f"hf_{LEAK}")
        raise RuntimeError("; ".join(PLANTED.values()))
    ledger = Ledger(folder)
    ledger.begin(name="a", argv=mask_overrides(words), words=mask_overrides(words), weights="auto")
    ledger.begin(fixed=mask_overrides(words), goals=[("valid/loss", "minimize")])
    trial = ledger.propose(0, "0", {"seed": "1"})
    (folder / "best.yaml").write_text(experiment_yaml(ledger, *configurations_of([trial])))
    store = Path(store_uri.removeprefix("sqlite:///")).parent
    files = [file for place in (folder, store) for file in place.rglob("*") if file.is_file()]
    assert {"config.yaml", "git.diff", "error.txt", "blurr.log", "run.json", "ledger.jsonl"} <= {f.name for f in files}
    # in a process of its own: closing the store's file here would drop the locks of this process on it
    found = subprocess.run(["grep", "--files-with-matches", "--fixed-strings", LEAK, *files], capture_output=True)
    assert (found.returncode, found.stdout) == (1, b"")
