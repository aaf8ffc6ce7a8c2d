"""The server answers as the learner does, in batches, and refuses what it should."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from every_task import TASKS, items_of
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
        for wrong in ({"tpo_k": 2}, {"top_k": 0}, {"top_k": 10_000}, {"top_k": "2"}, {"top_k": True}, {"top_k": 1.5}):
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
        ("", 422, "required"),
        ("null", 422, "dictionary"),
        ('{"inputs": [NaN]}', 422, "JSON"),
        ('{"inputs": [-Infinity]}', 422, "JSON"),
        ('{"inputs": [1e999]}', 422, "string"),
        ('{"inputs": ["a"], "options": {"threshold": 1e999}}', 422, "threshold"),
        ('{"inputs": ["a"], "options": {"threshold": NaN}}', 422, "JSON"),
        ('{"inputs": ["\\ud800"]}', 422, "JSON"),
        ('{"inputs": ["a"], "\\ud800": 1}', 422, "JSON"),
        ('{"inputs": ["\x00"]}', 422, "JSON"),
        (b'{"inputs": ["\xe9"]}', 422, "JSON"),
        (b'{"inputs": ["\xed\xa0\x80"]}', 422, "JSON"),
        ('{"inputs": ["a"]}'.encode("utf-16"), 422, "JSON"),
        ("[" * 2000 + "]" * 2000, 422, "recursion"),
        (f'{{"inputs": [{"9" * 4500}]}}', 422, "JSON"),
        (f'{{"inputs": ["a"], "options": {{"threshold": {"9" * 400}}}}}', 422, "threshold"),
        (b'\xef\xbb\xbf{"inputs": ["a"]}', 200, "label"),
        ('{"inputs": ["a"], "inputs": ["\\u0000", "\\ud83d\\ude00"]}', 200, "label"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_bad_request_is_answered_clearly(body: str | bytes, status: int, said: str, client: TestClient):
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert said in json.dumps(answer.json())


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
        assert "http://" not in client.get("/").text
        assert client.get("/openapi.json").json()["paths"]["/predict"]
        assert "http://" not in client.get("/docs").text  # no script and no style from elsewhere


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


def test_an_item_that_the_model_fails_on_hurts_no_other_request(saved, monkeypatch, caplog):
    predictor = Predictor.load(saved("sequence_classification")[1])
    encode = predictor.saved.task.encode_items

    def fail_on_some(columns: Any, hf: Any) -> Any:
        time.sleep(0.01)  # so that requests meet in a batch
        if any("boom" in text for text in columns["text"]):
            raise TypeError("a tokenizer of somebody else's")
        return encode(columns, hf)

    monkeypatch.setattr(type(predictor.saved.task), "encode_items", lambda self, *given: fail_on_some(*given))
    texts = ["boom" if number % 10 == 3 else "\ud800" if number % 10 == 7 else "good" for number in range(60)]
    bodies = [json.dumps({"inputs": ["a", text]}) for text in texts]
    expected = [{"boom": 500, "\ud800": 422, "good": 200}[text] for text in texts]
    with TestClient(make_app(predictor)) as client, ThreadPoolExecutor(16) as threads:
        kind = {"Content-Type": "application/json"}
        answers = list(threads.map(lambda body: client.post("/predict", content=body, headers=kind), bodies))
    assert [answer.status_code for answer in answers] == expected
    assert answers[3].json()["detail"] == "inputs[1]: the model failed (TypeError); the server's log says where."
    logged = [record for record in caplog.records if record.name == "blurr.serve.predictor"]
    assert 1 <= len(logged) <= 6
    assert "a tokenizer of somebody else's" in caplog.text


def test_an_answer_that_json_cannot_hold_is_the_models_failure(saved, monkeypatch):
    predictor = Predictor.load(saved("sequence_classification")[1])
    monkeypatch.setattr(predictor, "predict", lambda items, **options: [{"score": float(item)} for item in items])
    with TestClient(make_app(predictor)) as client:
        assert post(client, "1.5").json() == {"predictions": [{"score": 1.5}]}
        answer = post(client, "1.5", "nan")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "inputs[1]: the model's answer holds NaN or an infinity, which JSON cannot hold."


def test_whoever_goes_away_frees_a_place(saved, monkeypatch):
    predictor = Predictor.load(saved("sequence_classification")[1])
    seen: list[str] = []

    def slow(items: list[Any], **options: Any) -> list[Any]:
        seen.extend(items)
        time.sleep(0.5)
        return [{} for _ in items]

    monkeypatch.setattr(predictor, "predict_each", slow)

    async def ask() -> list[int]:
        app = make_app(predictor, Limits(waiting=1))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://a") as client,
        ):
            first = asyncio.create_task(client.post("/predict", json={"inputs": ["first"]}))
            await asyncio.sleep(0.2)
            answer: list[dict[str, Any]] = []
            gone = asyncio.Event()
            leaving = asyncio.create_task(
                app(scope_of(b'{"inputs": ["gone"]}'), sending(b'{"inputs": ["gone"]}', gone), keep(answer))
            )
            await asyncio.sleep(0.1)
            full = await client.post("/predict", json={"inputs": ["full"]})
            gone.set()
            await leaving
            last = await client.post("/predict", json={"inputs": ["last"]})
            return [(await first).status_code, full.status_code, last.status_code, answer[0]["status"]]

    assert asyncio.run(ask()) == [200, 503, 200, 499]
    assert seen == ["first", "last"]


def scope_of(body: bytes) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    where = {"path": "/predict", "raw_path": b"/predict", "root_path": "", "query_string": b"", "scheme": "http"}
    return {"type": "http", "method": "POST", "http_version": "1.1", "headers": headers, "server": ("a", 80), **where}


def sending(body: bytes, gone: asyncio.Event) -> Any:
    """Receive as from a client that sends a body, and goes away at an event."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        if message := next(messages, None):
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def keep(messages: list[dict[str, Any]]) -> Any:
    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    return send
