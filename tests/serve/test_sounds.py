"""A model of sounds is predicted with, served, exported, and read by other libraries, with the learner's answers."""

import json
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
from mlflow.types import DataType
from sounds import sound_rows
from starlette.testclient import TestClient

from blurr.serve.admission import Limits
from blurr.serve.app import make_app
from blurr.serve.exporting import export
from blurr.serve.parity import parity
from blurr.serve.predictor import Predictor
from blurr.tracking.mlmodel import write_mlmodel
from blurr.tracking.sink import ModelForm

# onnxscript's, torch's and MLflow's own
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def tones(n: int) -> list[tuple[np.ndarray, int]]:
    return [row["audio"] for row in sound_rows(n, seed=3)]


def flac(sound: tuple[np.ndarray, int]) -> bytes:
    made = BytesIO()
    soundfile.write(made, *sound, format="FLAC", subtype="PCM_24")
    return made.getvalue()


def of(answers: list[Any]) -> Any:
    return np.array([answer["probs"] for answer in answers])


def alike(answers: list[Any], apart: float = 1e-5) -> Any:
    return pytest.approx(of(answers), abs=apart)


def test_items_of_all_kinds_have_the_same_answer(sounds, tmp_path: Path):
    learn, folder = sounds
    predictor, (sound,) = Predictor.load(folder), tones(1)
    file = tmp_path / "a.flac"
    file.write_bytes(flac(sound))
    dicts = {"array": sound[0], "sampling_rate": sound[1]}
    kinds: list[Any] = [sound, flac(sound), file, str(file), dicts]
    kinds = [*kinds, *({"audio": kind} for kind in kinds)]
    expected = alike(learn.predict([sound] * len(kinds)), 1e-4)
    assert of(predictor.predict(kinds)) == expected
    assert of(predictor.predict(pd.DataFrame({"audio": kinds[:4]}))) == alike(learn.predict([sound] * 4), 1e-4)
    for kind in kinds:
        assert len(predictor.predict(kind)) == 1


def test_a_broken_sound_among_others_has_an_error_of_its_own(sounds):
    good, other = Predictor.load(sounds[1]).predict_each([tones(1)[0], b"no sound"])
    assert good["label"]
    assert "is not a sound that libsndfile can read" in str(other)


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def file(name: str, content: bytes) -> tuple[str, tuple[str, bytes]]:
    return "audio", (name, content)


@pytest.fixture(scope="module")
def client(sounds) -> Iterator[TestClient]:
    with TestClient(make_app(Predictor.load(sounds[1]), Limits(items=5, bytes=400_000))) as client:
        yield client


def test_base64_data_urls_and_forms_are_answered_as_the_learner_does(sounds, client: TestClient):
    contents = [flac(each) for each in tones(2)]
    expected = alike(sounds[0].predict(contents))
    for given in (map(base64, contents), [{"audio": f"data:audio/flac;base64,{base64(each)}"} for each in contents]):
        answer = client.post("/predict", json={"inputs": list(given)})
        assert of(answer.json()["predictions"]) == expected
    form = client.post("/predict", files=[file("a b.flac", contents[0]), file("C:\\sounds\\ü.flac", contents[1])])
    assert of(form.json()["predictions"]) == expected
    assert form.json()["files"] == ["a b.flac", "ü.flac"]


def test_the_example_of_the_documentation_works(client: TestClient):
    api = client.get("/openapi.json").json()
    assert client.post("/predict", json=api["components"]["schemas"]["Request"]["example"]).status_code == 200
    forms = api["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert forms["properties"]["audio"]["items"]["format"] == "binary"


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {"inputs": [base64(b"text")]}}, 422, "inputs[0]: The sound is not a sound that libsndfile can"),
        ({"json": {"inputs": ["/etc/passwd"]}}, 422, "Paths and addresses are not opened"),
        ({"files": [file("a.m4a", b"\0\0\0\x18ftypM4A ")]}, 422, "The sound a.m4a is MP4 or M4A (AAC)"),
        ({"files": [file("a.wav", b"")]}, 422, "The file a.wav is empty."),
        ({"files": [file("a.wav", bytes(500_000))]}, 413, "at most 400000 bytes"),
        ({"files": [("image", ("a.wav", b"x"))]}, 422, "has the field 'image'. Its fields are audio (a file)"),
    ],
    ids=["no sound", "a path", "m4a", "an empty file", "a large file", "another field"],
)
def test_a_mistake_is_said_in_a_sentence(sent: dict[str, Any], status: int, said: str, client: TestClient):
    answer = client.post("/predict", **sent)
    assert answer.status_code == status
    assert said in str(answer.json()["detail"])


def test_the_page_may_play_sounds_and_ask_for_the_microphone_alone(client: TestClient):
    headers = client.get("/").headers
    assert headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=(self)"
    assert "media-src blob:" in headers["Content-Security-Policy"].split("; ")
    assert client.get("/docs").headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=()"


@pytest.mark.slow
def test_graphs_give_the_answers_of_the_weights(sounds, tmp_path: Path):
    predictor = Predictor.load(sounds[1], device="cpu")
    export(predictor, tmp_path / "onnx", form="onnx")
    other = Predictor.load(tmp_path / "onnx")
    found = parity(predictor, other)
    assert found.rows == found.alike
    for count in (1, 3):
        assert of(other.predict(tones(count))) == alike(predictor.predict(tones(count)), 1e-3)


class TestMLflow:
    @pytest.fixture(scope="class")
    def folder(self, sounds) -> Path:
        learn, folder = sounds
        write_mlmodel(folder, ModelForm({"audio": flac(tones(1)[0])}, [], learn.dls.task.target.options))
        return folder

    @pytest.fixture(scope="class")
    def model(self, folder: Path) -> Any:
        return mlflow.pyfunc.load_model(str(folder))

    def test_a_column_of_bytes_is_predicted_on(self, folder: Path, model: Any, sounds):
        found = model.predict(pd.DataFrame({"audio": [flac(each) for each in tones(4)]}))
        assert of(found) == alike(sounds[0].predict(tones(4)), 1e-4)
        info = mlflow.models.get_model_info(str(folder))
        assert [(column.name, column.type) for column in info.signature.inputs] == [("audio", DataType.binary)]

    def test_mlflows_server_takes_base64(self, folder: Path, model: Any):
        from mlflow.pyfunc import scoring_server  # which warns when it is imported

        with TestClient(scoring_server.init(model)) as client:
            body = json.loads((folder / "serving_input_example.json").read_text())
            assert client.post("/invocations", json=body).status_code == 200
