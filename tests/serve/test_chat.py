"""Chats over HTTP: OpenAI's shape whole and as a stream, errors in it, turns that are fair, and the page."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from browser import NARROW, WIDE, chromium, faults, opened
from every_task import TEXTS
from mlflow.types.llm import ChatCompletionResponse
from playwright.sync_api import Browser, expect
from starlette.testclient import TestClient

from blurr.errors import InputError
from blurr.models.streaming import AT_A_TURN, Writing
from blurr.serve import batching
from blurr.serve.admission import COMPLETIONS, Limits
from blurr.serve.app import make_app
from blurr.serve.batching import Batcher, Overloaded
from blurr.serve.predictor import Predictor
from blurr.tracking.mlmodel import write_mlmodel
from blurr.tracking.sink import ModelForm

ASKED = [{"role": "user", "content": TEXTS[0]}]


@pytest.fixture(scope="module")
def folder(saved) -> Path:
    return saved("chat")[1]


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.load(folder)


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with TestClient(make_app(predictor)) as started:
        yield started


def post(client: TestClient, **asked: Any) -> Any:
    return client.post(COMPLETIONS, json={"model": "chat", "messages": ASKED, **asked})


def streamed(response: Any) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


# -- the API


def test_a_chat_is_answered_in_the_shape_of_openai(client: TestClient, predictor: Predictor):
    (answer,) = predictor.predict([{"messages": ASKED}])
    found = post(client).json()
    assert found["object"] == "chat.completion"
    assert found["model"] == "chat"
    assert found["choices"][0]["message"] == {"role": "assistant", "content": answer["answer"], "refusal": None}
    assert found["choices"][0]["finish_reason"] in ("stop", "length")
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] <= 4
    ChatCompletionResponse.from_dict({k: v for k, v in found.items() if k != "system_fingerprint"})


def test_a_stream_is_the_same_answer_in_pieces(client: TestClient):
    whole = post(client, max_tokens=12).json()
    response = post(client, max_tokens=12, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    first, *pieces, last, usage = streamed(response)
    assert {each["object"] for each in (first, *pieces, last)} == {"chat.completion.chunk"}
    assert len({each["id"] for each in (first, *pieces, last, usage)}) == 1
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(each["choices"][0]["delta"]["content"] for each in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])


def test_seeds_lengths_and_stops_are_kept_to(client: TestClient):
    one, two = (post(client, temperature=1.5, seed=3, max_tokens=9).json() for _ in range(2))
    assert one["choices"] == two["choices"]
    short = post(client, max_tokens=2).json()
    assert short["usage"]["completion_tokens"] <= 2
    text = post(client, max_tokens=12).json()["choices"][0]["message"]["content"]
    stop = text.split()[-1]
    found = post(client, max_tokens=12, stop=[stop]).json()["choices"][0]
    assert found["message"]["content"] == text[: text.index(stop)].rstrip()
    assert found["finish_reason"] == "stop"


def test_the_model_is_listed(client: TestClient):
    found = client.get("/v1/models").json()
    assert [each["id"] for each in found["data"]] == ["chat"]
    assert found["object"] == "list"


MISTAKES: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "another model": ({"model": "gpt-4"}, 404, "There is no model 'gpt-4' here, only 'chat'", "model"),
    "no messages": ({"messages": []}, 400, "messages: List should have at least 1 item", "messages"),
    "a tool's message": (
        {"messages": [{"role": "tool", "content": "x"}, *ASKED]},
        400,
        "unknown role 'tool'",
        "messages",
    ),
    "no content": ({"messages": [{"role": "user"}]}, 400, "have a role and a content", "messages"),
    "an answer last": (
        {"messages": [{"role": "assistant", "content": "x"}]},
        400,
        "the last is the user's",
        "messages",
    ),
    "tools": ({"tools": [{"type": "function"}]}, 400, "This server has no tools", "tools"),
    "too hot": ({"temperature": 3}, 400, "temperature: Input should be less than or equal to 2", "temperature"),
    "no tokens": ({"max_tokens": 0}, 400, "max_tokens: Input should be greater than or equal to 1", "max_tokens"),
    "many answers": ({"n": 2}, 400, "n: Input should be 1", "n"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_have_the_shape_of_openais(name: str, client: TestClient):
    asked, status, said, param = MISTAKES[name]
    response = post(client, **asked)
    error = response.json()["error"]
    assert response.status_code == status
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"
    assert str(error["param"]).startswith(str(param))


def test_what_is_refused_before_it_is_read_has_their_shape_too(predictor: Predictor):
    with TestClient(make_app(predictor, Limits(token="secret", bytes=100))) as client:
        response = post(client)
        assert (response.status_code, response.json()["error"]["type"]) == (401, "invalid_request_error")
        client.headers["Authorization"] = "Bearer secret"
        assert "at most 100 bytes" in post(client, user="x" * 100).json()["error"]["message"]
        bad = client.post(COMPLETIONS, content="{", headers={"Content-Type": "application/json"})
        assert (bad.status_code, "not JSON" in bad.json()["error"]["message"]) == (400, True)


def test_predict_takes_a_text_messages_and_a_prompt(client: TestClient):
    items = [TEXTS[0], {"messages": ASKED}, {"prompt": TEXTS[0]}]
    found = client.post("/predict", json={"inputs": items}).json()["predictions"]
    assert found[0] == found[1] == found[2]
    assert client.post("/predict", json={"inputs": [{"system": "x"}]}).status_code == 422


def test_too_much_is_refused(predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batching, "MOST_STREAMS", 0)
    with TestClient(make_app(predictor)) as client:
        response = post(client)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["error"]["type"] == "server_error"


# -- turns

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def writing(count: int, log: list[str], name: str = "", **options: Any) -> Writing:
    """Write the first letters of the alphabet, and log each."""

    def generate(streamer: Any) -> None:
        streamer.put(torch.tensor([[1, 2, 3]]))
        for token in range(count):
            log.append(f"{name}{LETTERS[token]}")
            streamer.put(torch.tensor([token]))
        streamer.end()

    def decode(ids: Sequence[int]) -> str:
        return "".join(LETTERS[i] for i in ids)

    return Writing(generate, decode, **{"most": 99, "ends": [25], **options})


def whole(made: Writing) -> list[str]:
    pieces = []
    while made.finish is None:
        pieces.append(made.step())
    return pieces


def test_a_text_is_written_a_few_tokens_at_a_time():
    log: list[str] = []
    made = writing(10, log)
    assert made.step() == "abcd"
    assert len(log) == AT_A_TURN  # and no more until the next step
    assert "".join(whole(made)) == "efghij"
    assert (made.text, made.finish, made.prompt_tokens, len(made.tokens)) == ("abcdefghij", "length", 3, 10)


@pytest.mark.parametrize(
    ("options", "text", "finish"),
    [
        ({"most": 6}, "abcdef", "length"),
        ({"ends": [6]}, "abcdef", "stop"),
        ({"stops": ["efx", "cde"]}, "ab", "stop"),
        ({"stops": ["de", "c"]}, "ab", "stop"),
    ],
    ids=["most", "token", "text within", "the first of two"],
)
def test_a_text_ends_where_it_should_and_no_more_is_sent(options: dict[str, Any], text: str, finish: str):
    made = writing(12, [], **options)
    assert "".join(whole(made)) == made.text == text
    assert made.finish == finish


def test_a_cancelled_text_computes_no_more():
    log: list[str] = []
    made = writing(20, log)
    made.step()
    made.cancel()
    made._thread.join(5)
    assert not made._thread.is_alive()
    assert len(log) == AT_A_TURN


def test_a_failure_of_the_model_is_raised_where_the_text_is_waited_for():
    def fail(streamer: Any) -> None:
        raise InputError("too long")

    with pytest.raises(InputError, match="too long"):
        Writing(fail, str, most=3, ends=[]).step()


class Instant:
    """A predictor that notes when it is asked."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def predict_each(self, items: Sequence[Any], **options: Any) -> list[Any]:
        self.log.append("predict")
        return list(items)


def served(use: Callable[[Batcher], Any], log: list[str], limit: int = 9) -> Any:
    async def run() -> Any:
        batcher = Batcher(Instant(log), most=4, limit=limit, seen=lambda n: None)  # type: ignore[arg-type]
        running = asyncio.create_task(batcher.run())
        found = await use(batcher)
        running.cancel()
        await asyncio.wait([running])
        return found

    return asyncio.run(run())


def test_long_texts_take_turns_with_each_other_and_with_predictions():
    log: list[str] = []

    async def use(batcher: Batcher) -> None:
        streams = [batcher.stream(writing(12, log, name)) for name in ("1", "2")]
        answer = batcher.predict(["x"], {})
        await asyncio.wait([answer, *(each.answer for each in streams)])

    served(use, log)
    turns = ["".join(sorted({each[0] for each in log[i : i + 4]})) for i in range(0, 8, 4)]
    assert turns == ["1", "2"]
    assert log[8] == "predict"  # after one turn of each, not after all of them
    assert [each[0] for each in log[9:]] == [*"1111", *"2222", *"1111", *"2222"]


def test_a_stream_that_nobody_waits_for_gives_up_its_turn_and_too_many_are_refused():
    log: list[str] = []

    async def use(batcher: Batcher) -> None:
        gone, stays = batcher.stream(writing(20, log, "1")), batcher.stream(writing(6, log, "2"))
        with pytest.raises(Overloaded):
            batcher.stream(writing(1, log))
        assert await gone.pieces.get() == "abcd"
        gone.answer.cancel()
        await asyncio.wait([stays.answer])
        gone.writing._thread.join(5)

    served(use, log, limit=2)
    assert sum(each[0] == "1" for each in log) <= 2 * AT_A_TURN
    assert sum(each[0] == "2" for each in log) == 6


# -- MLflow


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")
@pytest.mark.filterwarnings("ignore:Operation with range is deprecated")
def test_mlflow_answers_by_its_interface_of_chats(folder: Path, predictor: Predictor):
    options = predictor.options
    write_mlmodel(folder, ModelForm({"messages": ASKED}, [], options, predictor.saved.task.target.interface))
    model = mlflow.pyfunc.load_model(str(folder))
    assert model.metadata.metadata["task"] == "llm/v1/chat"
    assert {"messages", "temperature", "max_tokens"} <= {each.name for each in model.metadata.get_input_schema()}
    expected = predictor.predict([{"messages": ASKED}])[0]["answer"]
    found = model.predict({"messages": ASKED, "max_tokens": 4})
    assert found["choices"][0]["message"]["content"] == expected
    assert found == {**ChatCompletionResponse.from_dict(found).to_dict(), "choices": found["choices"]}
    assert len(model.predict(pd.DataFrame([{"messages": ASKED}] * 2))) == 2
    assert json.loads((folder / "input_example.json").read_text()) == {"messages": ASKED}
    with pytest.raises(InputError, match="unknown role 'tool'"):
        model.predict({"messages": [{"role": "tool", "content": "x"}]})
    with pytest.raises(InputError, match="temperature: Input should be less than or equal to 2"):
        model.predict({"messages": ASKED, "temperature": 7.0})


# -- the page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_the_page_holds_a_conversation_and_forgets_it(serve, folder: Path, browser: Browser):
    with opened(browser, serve(folder)) as page:
        page.locator("#examples button").first.click()
        bubbles = page.locator(".bubble")
        expect(bubbles).to_have_count(2)
        expect(page.locator("#stop")).to_be_hidden()
        with page.expect_request(f"**{COMPLETIONS}") as caught:
            page.get_by_label("Your message").fill("and it is?")
            page.keyboard.press("Enter")
        sent = json.loads(caught.value.post_data or "")
        assert [each["role"] for each in sent["messages"]][-1] == "user"
        assert sent["messages"][-1]["content"] == "and it is?"
        expect(page.locator("#stop")).to_be_hidden()
        for summary in page.locator("summary").all():
            summary.click()
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            assert faults(page) == []
        page.get_by_role("button", name="Clear").click()
        expect(bubbles).to_have_count(0)


def test_a_mistake_is_said_and_the_message_can_be_sent_again(serve, folder: Path, browser: Browser):
    page = browser.new_page()  # the browser itself writes a refusal to the console
    page.goto(serve(folder))
    page.get_by_text("Options").click()
    page.get_by_label("Temperature").evaluate("each => each.removeAttribute('max')")
    page.get_by_label("Temperature").fill("7")
    page.get_by_label("Your message").fill("hot")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("temperature: Input should be less than or equal to 2")
    expect(page.get_by_label("Your message")).to_have_value("hot")
    expect(page.locator(".bubble")).to_have_count(0)
    page.close()
