"""The folder of a model is an MLflow model, too, and gives the learner's answers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from every_task import TASKS, items_of

from blurr.serve.predictor import Predictor
from blurr.serve.pyfunc import ServedModel
from blurr.tracking import mlmodel
from blurr.tracking.mlmodel import write_mlmodel
from blurr.tracking.sink import ModelForm

# MLflow's own: it checks tables in a way that pandas 3 deprecates, and warns of its agents when it loads a model
pytestmark = [
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred"),
]


@pytest.fixture(scope="module")
def served(saved):
    """Give, for the name of a task, its learner and the folder of its MLflow model."""

    def get(name: str) -> tuple[Any, Path]:
        learn, folder = saved(name)
        if not (folder / "MLmodel").exists():
            item = items_of(name, 1)[0]
            optional = [role for role in TASKS[name].schema.inputs if role not in item]
            write_mlmodel(folder, ModelForm(item, optional, TASKS[name].target.options))
        return learn, folder

    return get


OPTIONS: dict[str, dict[str, Any]] = {
    "question_answering": {"top_k": 2},
    "summarization": {"num_beams": 2},
    "token_classification": {"aggregation_strategy": "average"},
    "masked_lm": {"n_preds": 2},
}


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"chat"}))  # which has another interface, see test_chat
def test_mlflow_gives_the_answers_of_the_learner(name: str, served):
    learn, folder = served(name)
    model, items = mlflow.pyfunc.load_model(str(folder)), items_of(name, 4)
    for options in ({}, OPTIONS.get(name, {})):
        found = model.predict(pd.DataFrame(items), params=options)
        assert json.dumps(found) == json.dumps(learn.predict(items, bs=32, **options))


def test_the_files_of_the_model_name_what_it_takes_and_needs(served):
    _, folder = served("sequence_classification")
    signature = mlflow.models.get_model_info(str(folder)).signature
    assert [(column.name, column.required) for column in signature.inputs] == [("text", True), ("text_pair", False)]
    assert [param.name for param in signature.params] == ["threshold"]
    needed = (folder / "requirements.txt").read_text()
    assert all(f"{name}==" in needed for name in ("blurr-transformers", "torch", "transformers"))
    assert json.loads((folder / "input_example.json").read_text())["columns"] == ["text"]
    assert not [file for file in folder.iterdir() if file.suffix in (".pkl", ".pickle", ".py")]


def test_the_files_say_what_mlflows_own_function_would_write(served, tmp_path):
    _, folder = served("question_answering")
    mlflow.pyfunc.save_model(
        str(tmp_path / "own"),
        loader_module=mlmodel.LOADER,
        signature=mlflow.models.get_model_info(str(folder)).signature,
        input_example=pd.DataFrame([items_of("question_answering", 1)[0]]),
        pip_requirements=(folder / "requirements.txt").read_text().splitlines(),
    )
    written = {file.name for file in (tmp_path / "own").iterdir()}
    assert written == {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"} | {
        "input_example.json",
        "serving_input_example.json",
    }
    for name in sorted(written):
        ours, own = (yaml.safe_load((each / name).read_text()) for each in (folder, tmp_path / "own"))
        if name == "MLmodel":
            for differs in ("model_uuid", "utc_time_created", "model_size_bytes"):
                assert ours.pop(differs)
                assert own.pop(differs)
        assert ours == own


def test_a_row_that_cannot_be_predicted_on_is_named(served):
    model = mlflow.pyfunc.load_model(str(served("masked_lm")[1]))
    with pytest.raises(ValueError, match="Row 2: The text 'no mask' has no"):
        model.predict(pd.DataFrame({"text": ["a <mask>", "no mask"]}))


def test_a_failure_of_the_model_on_a_row_is_raised_as_it_is(saved, monkeypatch):
    model = ServedModel(Predictor.load(saved("sequence_classification")[1]))
    monkeypatch.setattr(
        model.predictor, "predict", lambda items, **options: [1 / float(item["text"]) for item in items]
    )
    assert model.predict(pd.DataFrame({"text": ["1", "2"]})) == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        model.predict(pd.DataFrame({"text": ["1", "0"]}))


@pytest.mark.slow
def test_a_process_in_an_empty_folder_loads_the_model_from_mlflow(served, work: Path):
    learn, folder = served("sequence_classification")
    program = (
        "import json, sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print(json.dumps(model.predict(pd.DataFrame({'text': ['the film was good']}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = json.loads(done.stdout.splitlines()[-1])
    assert found["label"] == learn.predict("the film was good")[0]["label"]
