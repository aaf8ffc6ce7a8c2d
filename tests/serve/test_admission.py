"""Requests that a server refuses by their heads: a stranger's host, no token, another type or method."""

import argparse
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from blurr.errors import InputError
from blurr.serve.admission import Limits, allowed_hosts, checked_token
from blurr.serve.app import make_app
from blurr.serve.handlers import _limits
from blurr.serve.predictor import Predictor

LOCAL = {"localhost", "127.0.0.1", "[::1]"}
TOKEN = "let-me-in+/=~"
BODY = b'{"inputs": ["good"]}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def predictor(saved) -> Predictor:
    return Predictor.load(saved("sequence_classification")[1])


@pytest.fixture(scope="module")
def client(predictor) -> Iterator[TestClient]:
    with TestClient(make_app(predictor, Limits(hosts=frozenset(LOCAL), token=TOKEN)), "http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["LocalHost:8000"], 200),
        (["127.0.0.1:8000"], 200),
        (["[::1]:8000"], 200),
        (["evil.example"], 421),
        (["127.0.0.1.evil.example:8000"], 421),
        (["[::1].evil.example"], 200),  # no name of the DNS: no page can have it
        (["localhost", "evil.example"], 421),
        ([""], 421),
    ],
    ids=str,
)
def test_a_server_answers_under_its_own_names_only(hosts: list[str], status: int, client: TestClient):
    answer = client.get("/", headers=[("Host", host) for host in hosts])
    assert answer.status_code == status
    if status == 421:
        said = f"does not answer as {', '.join(hosts)!r}, only as 127.0.0.1, [::1], localhost. If that is a name of"
        assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "host", "address", "expected"),
    [
        (None, "127.0.0.1", "127.0.0.1", LOCAL),
        (None, "Box.lan", "10.0.0.7", {*LOCAL, "box.lan"}),
        (None, "::1", "::1", LOCAL),
        (None, "0.0.0.0", "0.0.0.0", None),
        (None, "0", "0.0.0.0", None),
        (None, "::", "::", None),
        ("a.example, B.example:80,fe80::1", "0.0.0.0", "0.0.0.0", {"a.example", "b.example", "[fe80::1]"}),
        ("*", "127.0.0.1", "127.0.0.1", None),
    ],
    ids=lambda each: None if isinstance(each, set) else str(each),  # a set is written in any order
)
def test_names_of_a_server(given: str | None, host: str, address: str, expected: set[str] | None):
    assert allowed_hosts(given, host, address) == expected


def test_no_name_is_a_mistake():
    with pytest.raises(
        InputError, match=r"--allowed-hosts ' ,' has no name. Give names, such as localhost,127.0.0.1, or"
    ):
        allowed_hosts(" ,", "127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "needs a token: send it as `Authorization: Bearer TOKEN`"),
        ("Bearer", "needs a token"),
        (f"Basic {TOKEN}", "The token is wrong"),
        ("Bearer let-me-in", "The token is wrong"),
        (f"Bearer {TOKEN}x", "The token is wrong"),
        ("Bearer l\xe9t".encode("latin-1"), "The token is wrong"),
    ],
    ids=str,
)
def test_without_the_token_there_is_no_prediction_and_no_metric(given: Any, said: str, client: TestClient):
    headers = {**JSON, **({} if given is None else {"Authorization": given})}
    for answer in (client.post("/predict", content=BODY, headers=headers), client.get("/metrics", headers=headers)):
        assert answer.status_code == 401
        assert said in answer.json()["detail"]
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert TOKEN not in answer.text


def test_with_the_token_there_is(client: TestClient):
    for scheme in ("Bearer", "bearer"):
        headers = {**JSON, "Authorization": f"{scheme} {TOKEN}"}
        assert client.post("/predict", content=BODY, headers=headers).status_code == 200
        assert 'status="200"' in client.get("/metrics", headers=headers).text


def test_probes_and_how_to_call_the_rest_need_no_token(client: TestClient):
    for path in ("/", "/docs", "/openapi.json", "/health", "/ready"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert TOKEN not in answer.text
    assert '"token": true' in client.get("/").text
    schema = client.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    assert schema["paths"]["/predict"]["post"]["security"] == [{"HTTPBearer": []}]


def limits_of(token: str | None = None) -> Limits:
    given = {"timeout": 3.0, "max_bytes": 10, "host": "127.0.0.1", "allowed_hosts": None, "token": token}
    return _limits(argparse.Namespace(**given), "127.0.0.1")


def test_the_token_of_the_command_line_goes_before_that_of_the_environment(monkeypatch):
    assert limits_of().token is None
    monkeypatch.setenv("BLURR_TOKEN", "a")
    assert limits_of().token == "a"
    assert limits_of("b") == Limits(seconds=3.0, bytes=10, hosts=frozenset(LOCAL), token="b")
    assert "'b'" not in repr(limits_of("b"))


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "is empty"), ("se cret", "holds a blank"), ("s\xe9cret", "not ASCII"), ("secret\n", "holds a blank")],
    ids=repr,
)
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token: str, said: str, monkeypatch):
    with pytest.raises(InputError, match=f"^--token {said}|^--token .*{said}.*openssl rand") as caught:
        limits_of(token)
    assert "cret" not in str(caught.value)
    with pytest.raises(InputError, match="^BLURR_TOKEN"):
        checked_token(token, "BLURR_TOKEN")


@pytest.fixture(scope="module")
def open_client(predictor) -> Iterator[TestClient]:
    with TestClient(make_app(predictor)) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_another_method_is_answered_with_those_there_are(method: str, open_client: TestClient):
    answer = open_client.request(method, "/predict")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert open_client.request(method, "/nowhere").status_code == 404
    reads = method in ("GET", "HEAD")
    for path in ("/", "/health", "/metrics"):
        answer = open_client.request(method, path)
        assert answer.status_code == (200 if reads else 405)
        assert reads or answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=latin-1", 200),  # JSON is UTF-8, whatever is said
        ("application/vnd.api+json", 200),
        ("text/plain", 415),  # what a page of somebody else's may send without asking
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
def test_a_request_is_json(kind: str, status: int, open_client: TestClient):
    answer = open_client.post("/predict", content=BODY, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert status == 200 or f"`Content-Type: application/json`, not {kind!r}" in answer.json()["detail"]
