"""A model of pictures is predicted with, exported, and read by other libraries, with the learner's answers."""

import json
import os
import random
import shutil
import subprocess
import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType
from PIL import Image
from starlette.testclient import TestClient
from transformers import pipeline

from blurr.serve.exporting import export
from blurr.serve.parity import parity
from blurr.serve.predictor import Predictor
from blurr.tracking.mlmodel import write_mlmodel
from blurr.tracking.sink import ModelForm
from blurr.vision import samples

# onnxscript's, torch's and MLflow's own
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def shapes(n: int, side: int = 32) -> list[Image.Image]:
    rng = random.Random(3)
    return [samples.draw(rng, [samples.any_shape(rng)], side=side) for _ in range(n)]


def png(picture: Image.Image) -> bytes:
    made = BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()


def probs(answers: list[Any]) -> Any:
    return pytest.approx(np.array([answer["probs"] for answer in answers]), abs=1e-5)


def of(answers: list[Any]) -> Any:
    return np.array([answer["probs"] for answer in answers])


def test_items_of_all_kinds_have_the_same_answer(pictures, tmp_path: Path):
    learn, folder = pictures
    predictor, (picture,) = Predictor.load(folder), shapes(1)
    file = tmp_path / "a.png"
    picture.save(file)
    kinds: list[Any] = [picture, np.asarray(picture), png(picture), file, str(file)]
    kinds = [*kinds, *({"image": kind} for kind in kinds)]
    expected = probs(learn.predict([picture] * len(kinds)))
    assert of(predictor.predict(kinds)) == expected
    assert of(predictor.predict(pd.DataFrame({"image": kinds[:5]}))) == probs(learn.predict([picture] * 5))
    for kind in kinds:
        assert len(predictor.predict(kind)) == 1


def test_a_batch_holds_rows_and_not_tokens(pictures):
    predictor = Predictor.load(pictures[1], device="cpu")
    dl = predictor.learner.dls.test_dl(shapes(70))
    assert [len(inputs["pixel_values"]) for inputs, *_ in dl] == [32, 32, 6]


def test_a_broken_picture_among_others_has_an_error_of_its_own(pictures):
    good, other = Predictor.load(pictures[1]).predict_each([shapes(1)[0], b"no picture"])
    assert good["label"]
    assert "is not a picture" in str(other)


def test_rows_of_the_run_are_compared_where_their_files_are_there(pictures, tmp_path: Path):
    folder = shutil.copytree(pictures[1], tmp_path / "run" / "model")
    predictor, table = Predictor.load(folder, device="cpu"), folder.parent / "predictions.jsonl"
    for number, picture in enumerate(shapes(3)):
        picture.save(tmp_path / f"{number}.png")
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    for written, kind in ((names, "validation rows"), ([*names, "without a name, 3f2a"], "generated rows")):
        table.write_text("".join(json.dumps({"image": name, "label": "circle"}) + "\n" for name in written))
        assert parity(predictor, predictor, rows=5).kind == kind


def test_weights_of_16_bits_read_pictures(pictures):
    low = Predictor.load(pictures[1], device="cpu", precision="bf16")
    assert of(low.predict(shapes(3))) == pytest.approx(of(pictures[0].predict(shapes(3))), abs=0.02)


class TestExports:
    @pytest.fixture(scope="class")
    def graphs(self, pictures, tmp_path_factory) -> Path:
        into = tmp_path_factory.mktemp("onnx") / "model"
        export(Predictor.load(pictures[1], device="cpu"), into, form="onnx")
        return into

    @pytest.mark.slow
    def test_graphs_give_the_answers_of_the_weights_for_any_number_of_rows(self, graphs: Path, pictures):
        predictor, other = Predictor.load(pictures[1], device="cpu"), Predictor.load(graphs)
        found = parity(predictor, other)
        assert (found.rows, found.alike) == (100, 100)
        assert found.difference < 1e-3
        for count in (1, 3):
            assert of(other.predict(shapes(count))) == probs(predictor.predict(shapes(count)))

    def test_a_folder_for_transformers_keeps_the_image_processor(self, pictures, tmp_path: Path):
        export(Predictor.load(pictures[1]), tmp_path / "new", form="transformers")
        again = Predictor.load(tmp_path / "new")
        assert of(again.predict(shapes(3))) == probs(pictures[0].predict(shapes(3)))


@pytest.mark.parametrize("side", [32, 80])
def test_the_pipeline_of_transformers_has_the_same_answers(side: int, pictures):
    check_pipeline(pictures[1], shapes(6, side))


def check_pipeline(folder: Path, given: list[Image.Image]) -> None:
    found = pipeline("image-classification", model=str(folder), device="cpu")(given, top_k=None)
    for row, answer in zip(found, Predictor.load(folder, device="cpu").predict(given), strict=True):
        scores = {each["label"]: each["score"] for each in row}
        assert [scores[name] for name in answer["class_labels"]] == pytest.approx(answer["probs"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "convnext", "swin", "dinov2", "mobilenet_v2", "efficientnet", "timm"])
def test_every_family_is_exported_and_read_by_transformers(name: str, family_of_pictures, tmp_path: Path):
    _, folder = family_of_pictures(name)
    check_pipeline(folder, shapes(4))
    predictor = Predictor.load(folder, device="cpu")
    export(predictor, tmp_path / "onnx", form="onnx")
    other = Predictor.load(tmp_path / "onnx")
    assert parity(predictor, other).difference < 1e-3
    assert of(other.predict(shapes(3))) == probs(predictor.predict(shapes(3)))


class TestMLflow:
    @pytest.fixture(scope="class")
    def folder(self, pictures) -> Path:
        learn, folder = pictures
        write_mlmodel(folder, ModelForm({"image": png(shapes(1)[0])}, [], learn.dls.task.target.options))
        return folder

    @pytest.fixture(scope="class")
    def model(self, folder: Path) -> Any:
        return mlflow.pyfunc.load_model(str(folder))

    def test_a_column_of_bytes_is_predicted_on(self, model: Any, pictures):
        found = model.predict(pd.DataFrame({"image": [png(each) for each in shapes(4)]}))
        assert of(found) == probs(pictures[0].predict(shapes(4)))

    def test_the_signature_has_a_binary_column_and_the_example_is_a_small_picture(self, folder: Path, model: Any):
        info = mlflow.models.get_model_info(str(folder))
        assert [(column.name, column.type) for column in info.signature.inputs] == [("image", DataType.binary)]
        assert (folder / "input_example.json").stat().st_size < 10_000
        example = mlflow.models.Model.load(str(folder)).load_input_example(str(folder))
        assert len(model.predict(example)) == 1

    def test_mlflows_server_takes_base64(self, folder: Path, model: Any, pictures):
        from mlflow.pyfunc import scoring_server  # which warns when it is imported

        rows = [b64encode(png(each)).decode() for each in shapes(2)]
        with TestClient(scoring_server.init(model)) as client:
            table = {"dataframe_split": {"columns": ["image"], "data": [[row] for row in rows]}}
            assert of(client.post("/invocations", json=table).json()["predictions"]) == probs(
                pictures[0].predict(shapes(2))
            )
            body = json.loads((folder / "serving_input_example.json").read_text())
            assert client.post("/invocations", json=body).status_code == 200

    def test_a_path_is_not_opened(self, model: Any, tmp_path: Path):
        shapes(1)[0].save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"Row 1: the column 'image' holds .* and takes the bytes of a picture"):
            model.predict(pd.DataFrame({"image": [str(tmp_path / "a.png")]}))

    @pytest.mark.slow
    def test_a_process_in_an_empty_folder_loads_the_model(self, folder: Path, pictures, work: Path):
        program = (
            "import json, sys, mlflow, pandas as pd\n"
            "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
            "print(json.dumps(model.predict(pd.DataFrame({'image': [open('a.png', 'rb').read()]}))))"
        )
        (picture,) = shapes(1)
        picture.save(work / "a.png")
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", program, str(folder)]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=True)
        assert of(json.loads(done.stdout.splitlines()[-1])) == probs(pictures[0].predict(picture))
