"""Make the folder of a trained model an MLflow model, too: a few small files beside its weights.

This module loads MLflow; import it only where a run is opened.
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
from blurr.process.quiet import quiet
from blurr.tracking.environment import installed
from blurr.tracking.sink import ModelForm

LOADER = "blurr.serve.pyfunc"  # named, not pickled: MLflow imports it where it loads the model
# Given explicitly: MLflow would load the model to find them out, which takes longer than many a training.
REQUIRED = ("torch", "transformers", "fastai", "datasets", "mlflow")
TYPES = {int: DataType.long, float: DataType.double, str: DataType.string, bool: DataType.boolean}


def write_mlmodel(folder: Path, form: ModelForm) -> None:
    """Write `MLmodel`, its signature, an input example and the requirements into the folder of a model.

    Nothing is copied, and nothing of the model is loaded: `mlflow.pyfunc.load_model` reads the same weights.
    """
    columns: list[Any] = [ColSpec(_type(value), name) for name, value in form.example.items()]
    columns += [ColSpec(DataType.string, name, required=False) for name in form.optional]
    params = ParamSchema([ParamSpec(name, TYPES[kind], None) for name, kind in form.options.items()])
    # its own type hints and its use of pandas make MLflow warn, and it tells what it does
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
