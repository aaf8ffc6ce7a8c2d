"""The server answers as the learner does, in batches, and refuses what it should."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from every_task import TASKS, items_of
from forked import Forked, code
from starlette.testclient import TestClient

from blurr.serve.app import Limits, make_app
from blurr.serve.batching import Batcher, Overloaded
from blurr.serve.predictor import Predictor


@pytest.fixture(scope="module")
def client(saved) -> Iterator[TestClient]:
    app = make_app(Predictor.load(saved("sequence_classification")[1]), Limits(items=20, bytes=5000))
    with TestClient(app) as client:
        yield client


def post(client: TestClient, *inputs: Any, **options: Any) -> Any:
    return client.post("/predict", json={"inputs": list(inputs), **({"options": options} if options else {})})


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_server_gives_the_answers_of_the_learner(name: str, saved):
    learn, folder = saved(name)
    items = items_of(name, 4)
    with TestClient(make_app(Predictor.load(folder))) as client:
        answer = post(client, *items)
    assert answer.status_code == 200, answer.text
    assert str(answer.json()["predictions"]) == str(learn.predict(items, bs=32))


def test_options_are_those_of_the_task(saved):
    learn, folder = saved("question_answering")
    (item,) = items_of("question_answering", 1)
    with TestClient(make_app(Predictor.load(folder))) as client:
        assert post(client, item, top_k=2).json()["predictions"] == learn.predict([item], top_k=2)
        for wrong in ({"tpo_k": 2}, {"top_k": 0}, {"top_k": 10_000}, {"top_k": "many"}):
            assert post(client, item, **wrong).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("{", 422, "JSON"),
        ("{}", 422, "inputs"),
        ('{"inputs": []}', 422, "at least 1"),
        ('{"inputs": [{"txt": "a"}]}', 422, "text"),
        ('{"inputs": [{"text": 3}]}', 422, "string"),
        ('{"inputs": ["a"], "more": 1}', 422, "more"),
        (json.dumps({"inputs": ["a"] * 21}), 422, "at most 20"),
        (json.dumps({"inputs": ["a" * 5000]}), 413, "at most 5000 bytes"),
    ],
)
def test_a_bad_request_is_answered_clearly(body: str, status: int, said: str, client: TestClient):
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert said in answer.text


def test_a_request_says_how_long_it_is(client: TestClient):
    assert client.post("/predict", content=iter([b"{}"])).status_code == 411


def test_a_bad_item_is_named(saved):
    with TestClient(make_app(Predictor.load(saved("masked_lm")[1]))) as client:
        answer = post(client, "a <mask>", "no mask")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("inputs[1]: The text 'no mask' has no")


def test_health_readiness_metrics_and_pages_are_there(saved):
    app = make_app(Predictor.load(saved("sequence_classification")[1]))
    assert TestClient(app).get("/ready").status_code == 503
    with TestClient(app) as client:
        assert client.get("/health").json() == {"status": "alive"}
        assert client.get("/ready").json()["task"] == "SequenceClassification"
        post(client, "good", "bad")
        numbers = client.get("/metrics").text
        assert 'blurr_requests_total{status="200"} 1.0' in numbers
        assert "blurr_batch_items_sum 2.0" in numbers
        page = client.get("/").text
        assert '"roles": ["text", "text_pair"]' in page
        assert "http://" not in page.replace("http-equiv", "")
        assert client.get("/openapi.json").json()["paths"]["/predict"]
        assert "//" not in client.get("/docs").text  # no script and no style from elsewhere


def test_requests_that_wait_together_are_one_batch(saved):
    sizes: list[int] = []
    batcher = Batcher(Predictor.load(saved("sequence_classification")[1]), most=8, limit=100, seen=sizes.append)
    texts = [text["text"] for text in items_of("sequence_classification", 12)]

    async def ask() -> list[Any]:
        running = asyncio.create_task(batcher.run())
        answers = await asyncio.gather(
            *(batcher.predict([text], {}) for text in texts), batcher.predict(["bad"], {"threshold": 0.9})
        )
        running.cancel()
        await asyncio.wait([running])
        return answers

    answers = asyncio.run(ask())
    assert sizes == [8, 4, 1]
    expected = batcher.predictor.predict(texts)
    assert [answer[0]["score"] for answer in answers[:12]] == pytest.approx([r["score"] for r in expected])


def test_too_many_items_and_too_much_time_are_refused(saved, monkeypatch):
    predictor = Predictor.load(saved("sequence_classification")[1])

    def slow(items: list[Any], **options: Any) -> list[Any]:
        time.sleep(0.5)
        return [{} for _ in items]

    monkeypatch.setattr(predictor, "predict_each", slow)
    with TestClient(make_app(predictor, Limits(seconds=0.1, waiting=3))) as client:
        assert post(client, "a").status_code == 504
        with ThreadPoolExecutor(6) as threads:
            found = [answer.status_code for answer in threads.map(lambda _: post(client, "a", "b"), range(6))]
    assert set(found) == {503, 504}
    batcher = Batcher(predictor, most=1, limit=0, seen=lambda size: None)
    with pytest.raises(Overloaded):
        asyncio.run(batcher.predict(["a"], {}))


def test_a_defect_of_the_model_reaches_who_asked(saved, monkeypatch):
    predictor = Predictor.load(saved("sequence_classification")[1])
    monkeypatch.setattr(predictor, "predict_each", lambda items, **options: 1 / 0)
    with TestClient(make_app(predictor), raise_server_exceptions=False) as client:
        assert post(client, "a").status_code == 500
        assert client.get("/health").status_code == 200


def test_a_stop_first_answers_what_is_being_answered(saved, work):
    """A process of its own, told to stop while a slow model has a request and another one waits."""
    program = (
        "import sys, time, uvicorn\n"
        "from blurr.serve.app import make_app\n"
        "from blurr.serve.predictor import Predictor\n"
        "predictor = Predictor.load(sys.argv[1])\n"
        "real = predictor.predict_each\n"
        "predictor.predict_each = lambda items, **o: (time.sleep(1.5), real(items, **o))[1]\n"
        "uvicorn.run(make_app(predictor), port=int(sys.argv[2]), timeout_graceful_shutdown=31)\n"
    )
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    folder = saved("sequence_classification")[1]
    server = Forked(code, program, str(folder), str(port), cwd=work)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with suppress(httpx.TransportError):
                httpx.get(f"{url}/ready")
                break
            time.sleep(0.05)
        with ThreadPoolExecutor(2) as threads:
            asked = []
            for text in ("good", "bad"):
                asked.append(threads.submit(httpx.post, f"{url}/predict", json={"inputs": [text]}, timeout=60))
                time.sleep(0.5)
            server.send_signal(signal.SIGTERM)
            assert [each.result().status_code for each in asked] == [200, 200]
        server.wait(60)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health")
    finally:
        server.kill()
