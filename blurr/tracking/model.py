"""Turn the folder of a trained model into an MLflow model, by a few small files beside its weights.

This module loads MLflow; import it only when a run is opened.
"""

import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array

from blurr import __version__
from blurr.process.terminal import quiet
from blurr.tracking.environment import installed
from blurr.tracking.sink import ModelForm

LOADER = "blurr.serve.pyfunc"  # imported by MLflow when it loads the model; nothing is pickled
# Listed explicitly, because MLflow would load the model to infer them, which takes longer than a short training.
REQUIRED = ("torch", "transformers", "fastai", "datasets", "mlflow")
TYPES = {int: DataType.long, float: DataType.double, str: DataType.string, bool: DataType.boolean}


def write_mlmodel(folder: Path, form: ModelForm) -> None:
    """Write `MLmodel`, its signature, an input example and the requirements into the folder of a model.

    The weights are neither loaded nor copied: `mlflow.pyfunc.load_model` reads the same files.
    """
    columns: list[Any] = [ColSpec(_type(value), name) for name, value in form.example.items()]
    columns += [ColSpec(DataType.string, name, required=False) for name in form.optional]
    params = ParamSchema([ParamSpec(name, TYPES[kind], None) for name, kind in form.options.items()])
    # MLflow warns of its own type hints and its use of pandas, and logs each step
    with TemporaryDirectory() as made, warnings.catch_warnings(), quiet("mlflow.pyfunc"):
        warnings.simplefilter("ignore")
        from mlflow.pyfunc import save_model

        save_model(
            f"{made}/model",
            loader_module=LOADER,
            signature=ModelSignature(inputs=Schema(columns), params=params),
            input_example=pd.DataFrame([dict(form.example)]),
            pip_requirements=[f"blurr=={__version__}", *(f"{name}=={installed(name)}" for name in REQUIRED)],
        )
        for file in Path(made, "model").iterdir():
            shutil.move(file, folder / file.name)


def _type(value: Any) -> Any:
    return Array(DataType.string) if isinstance(value, list) else DataType.string
