"""Pictures reach a model as base64 text and in forms, and nothing else is ever opened."""

import json
import random
import zlib
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from blurr.serve.admission import Admission, Limits, Numbers
from blurr.serve.app import make_app
from blurr.serve.predictor import Predictor
from blurr.vision import samples

AS_FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def png(seed: int, side: int = 32) -> bytes:
    rng, made = random.Random(seed), BytesIO()
    samples.draw(rng, [samples.any_shape(rng)], side=side).save(made, "PNG")
    return made.getvalue()


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def file(name: str, content: bytes) -> tuple[str, tuple[str, bytes]]:
    return "image", (name, content)


def png_head(width: int, height: int) -> bytes:
    """Return a PNG that says a size and holds no pixels."""
    made = BytesIO()
    Image.new("1", (1, 1)).save(made, "PNG")
    head = bytearray(made.getvalue())
    head[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    head[29:33] = zlib.crc32(bytes(head[12:29])).to_bytes(4, "big")
    return bytes(head)


@pytest.fixture(scope="module")
def client(pictures) -> Iterator[TestClient]:
    with TestClient(make_app(Predictor.load(pictures[1]), Limits(items=5, bytes=20_000))) as client:
        yield client


def answers(client: TestClient, *inputs: Any) -> list[Any]:
    answer = client.post("/predict", json={"inputs": list(inputs)})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_base64_data_urls_and_forms_are_answered_as_the_learner_does(pictures, client: TestClient):
    learn, _ = pictures
    contents = [png(1), png(2)]
    expected = [each["probs"] for each in learn.predict(contents)]
    wrapped = "\n".join(base64(contents[1])[i : i + 76] for i in range(0, 4000, 76))
    urls = [f"data:image/png;base64,{base64(each)}" for each in contents]
    for given in ([base64(contents[0]), wrapped], [{"image": url} for url in urls]):
        assert [each["probs"] for each in answers(client, *given)] == [pytest.approx(each) for each in expected]
    form = client.post("/predict", files=[file("a b.png", contents[0]), file("C:\\photos\\ü.png", contents[1])])
    assert [each["probs"] for each in form.json()["predictions"]] == [pytest.approx(each) for each in expected]
    assert form.json()["files"] == ["a b.png", "ü.png"]


def test_the_example_of_the_documentation_works(client: TestClient):
    api = client.get("/openapi.json").json()
    schemas = api["components"]["schemas"]
    assert client.post("/predict", json=schemas["Request"]["example"]).status_code == 200
    forms = api["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert forms["properties"]["image"]["items"]["format"] == "binary"
    assert forms["required"] == ["image"]


@pytest.mark.parametrize("kind", ["path", "file URL", "relative path", "address", "data URL of an address"])
def test_paths_and_addresses_are_never_opened(kind: str, client: TestClient, tmp_path: Path, monkeypatch):
    there = tmp_path / "secret.png"
    there.write_bytes(png(1))
    monkeypatch.chdir(tmp_path)
    given = {
        "path": str(there),
        "file URL": there.as_uri(),
        "relative path": "./secret.png",
        "address": "http://127.0.0.1:9/secret.png",
        "data URL of an address": "data:text/plain,http://127.0.0.1:9/secret.png",
    }[kind]
    for item in (given, {"image": given}):
        answer = client.post("/predict", json={"inputs": [item]})
        assert answer.status_code == 422
        assert "Paths and addresses are not opened. This is none of them" in answer.text
    for content in (b"", b"x"):  # a name of a form is no more than a name
        assert client.post("/predict", files=[file(str(there), content)]).status_code == 422


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {"inputs": [""]}}, 422, "The file is empty."),
        ({"json": {"inputs": [3]}}, 422, "valid dictionary"),
        ({"json": {"inputs": [{"image": 3}]}}, 422, "sent as base64 text"),
        ({"json": {"inputs": [{"image": {"path": "/etc/passwd"}}]}}, 422, "sent as base64 text"),
        ({"json": {"inputs": [{}]}}, 422, "Field required"),
        ({"json": {"inputs": [base64(b"text")]}}, 422, "inputs[0]: The picture"),
        ({"json": {"inputs": [base64(png(1)), base64(png(2)[:90])]}}, 422, "inputs[1]: The picture"),
        ({"json": {"inputs": [base64(png_head(30_000, 30_000))]}}, 422, "million"),
        ({"json": {"inputs": ["A" * 20_000]}}, 413, "at most 20000 bytes"),
        ({"files": [file("a.png", png(1)), file("b.png", b"no")]}, 422, "inputs[1] (b.png): The picture b.png"),
        ({"files": [file("a.png", b"")]}, 422, "The file a.png is empty."),
        ({"files": [("file", ("a.png", png(1)))]}, 422, "has the field 'file'. Its fields are image (a file), thre"),
        ({"files": [file("a.png", png(1)), ("threshold", ("b", b"1"))]}, 422, "threshold of the form is a file"),
        ({"files": [file("a.png", png(1))], "data": {"threshold": "much"}}, 422, "valid number"),
        ({"files": [file("a.png", b"x")] * 6}, 422, "Too many files"),
        ({"files": [file("a.png", bytes(30_000))]}, 413, "at most 20000 bytes"),
        ({"files": [file("a.png", png(1))], "headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "of another site"),
        ({"content": b"--y\r\n", "headers": AS_FORM}, 422, "not a form that can be read"),
        ({"content": b"--x\r\nhello", "headers": {"Content-Type": "multipart/form-data"}}, 422, "Missing boundary"),
        ({"content": b"--x--\r\n", "headers": AS_FORM}, 422, "at least 1 item"),
        ({"data": {"image": "a"}}, 415, "or a form with files as `multipart/form-data`"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:30],
)
def test_a_bad_request_is_answered_clearly(sent: Any, status: int, said: str, client: TestClient):
    answer = client.post("/predict", **sent)
    assert answer.status_code == status, answer.text
    assert said in json.dumps(answer.json())


def test_a_form_may_have_base64_text_and_options(client: TestClient):
    body = f'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n{base64(png(1))}\r\n--x--\r\n'
    assert client.post("/predict", content=body.encode(), headers=AS_FORM).json() == {
        "predictions": answers(client, base64(png(1)))
    }
    form = client.post("/predict", files=[file("a.png", png(1))], data={"threshold": "0.5"})
    assert form.status_code == 200


def test_bytes_that_wait_have_a_limit():
    admission = Admission(JSONResponse({}), Limits(bytes=5000, held=5000, files=True), Numbers())
    client = TestClient(admission)
    admission.held = 4000
    answer = client.post("/predict", files=[file("a.png", bytes(2000))])
    assert (answer.status_code, answer.json()["detail"]) == (503, "Too many bytes wait already.")
    admission.held = 0
    assert client.post("/predict", files=[file("a.png", bytes(2000))]).status_code == 200
    assert admission.held == 0


def test_requests_with_files_may_be_larger_and_a_model_of_texts_takes_no_form(pictures, saved):
    with TestClient(make_app(Predictor.load(pictures[1]))) as client:
        assert client.post("/predict", files=[file("a.png", bytes(1_500_000))]).status_code == 422
    with TestClient(make_app(Predictor.load(saved("sequence_classification")[1]))) as client:
        assert client.post("/predict", files=[file("a.png", png(1))]).status_code == 415
        assert client.post("/predict", content=bytes(1_500_000)).status_code == 413
