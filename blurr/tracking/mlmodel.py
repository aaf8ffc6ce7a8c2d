"""Make the folder of a trained model one that MLflow can load and serve.

This module loads MLflow; import it only when a run is opened.
"""

import json
import platform
from base64 import encodebytes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA
from mlflow.types.schema import Array

from blurr import DISTRIBUTION, __version__
from blurr.runs.folder import ADAPTER_CONFIG
from blurr.tracking.environment import installed
from blurr.tracking.sink import ModelForm

CHAT = "llm/v1/chat"  # MLflow's interface of models that answer, which is OpenAI's
LOADER = "blurr.serve.pyfunc"  # imported by MLflow when it loads the model; nothing is pickled
REQUIRED = ("torch", "transformers", "fastai", "datasets", "mlflow")
TYPES = {int: DataType.long, float: DataType.double, str: DataType.string, bool: DataType.boolean}
# MLflow's names of the files
MLMODEL, CONDA, PYTHON, REQUIREMENTS = "MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"
EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"


def write_mlmodel(folder: Path, form: ModelForm) -> None:
    """Write `MLmodel`, its signature, an input example and the requirements into the folder of a model.

    The weights are neither loaded nor copied: `mlflow.pyfunc.load_model` reads the same files. MLflow's own function
    for this searches the files of all installed packages, and loads its agents, which takes a second.
    """
    is_chat = form.interface == CHAT
    example = _write_chat(folder, form.example) if is_chat else _write_example(folder, form.example)
    _write_requirements(folder)
    model = Model(
        signature=ModelSignature(CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA) if is_chat else _signature(form),
        saved_input_example_info={**example, "artifact_path": EXAMPLE, "serving_input_path": SERVED_EXAMPLE},
        metadata={"task": form.interface} if form.interface else None,
        model_size_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    )
    environment = {"conda": CONDA, "virtualenv": PYTHON}
    version = platform.python_version()
    given = {"loader_module": LOADER, "python_version": version, "env": environment, "code": None, "streamable": False}
    model.add_flavor("python_function", **given).save(folder / MLMODEL)


def _signature(form: ModelForm) -> ModelSignature:
    columns: list[Any] = [ColSpec(_type(value), name) for name, value in form.example.items()]
    columns += [ColSpec(DataType.string, name, required=False) for name in form.optional]
    params = ParamSchema([ParamSpec(name, TYPES[kind], None) for name, kind in form.options.items()])
    return ModelSignature(inputs=Schema(columns), params=params)


def _type(value: Any) -> Any:
    if isinstance(value, bytes):
        return DataType.binary
    return Array(DataType.string) if isinstance(value, list) else DataType.string


def _write_chat(folder: Path, example: Mapping[str, Any]) -> dict[str, str]:
    """Write an example of a chat, which is the body of a request, too; return how it is stored."""
    for name in (EXAMPLE, SERVED_EXAMPLE):
        (folder / name).write_text(json.dumps(example, indent=2, ensure_ascii=False), encoding="utf-8")
    return {"type": "json_object"}


def _write_example(folder: Path, example: Mapping[str, Any]) -> dict[str, str]:
    """Write one row twice: as a table, and as the body of a request, with base64 for bytes as MLflow reads them."""
    values = [encodebytes(value).decode() if isinstance(value, bytes) else value for value in example.values()]
    table = {"columns": list(example), "data": [values]}
    (folder / EXAMPLE).write_text(json.dumps(table), encoding="utf-8")
    (folder / SERVED_EXAMPLE).write_text(json.dumps({"dataframe_split": table}, indent=2), encoding="utf-8")
    return {"type": "dataframe", "pandas_orient": "split"}


def _write_requirements(folder: Path) -> None:
    """Write what the model needs, for each of MLflow's ways to make an environment."""
    libraries = [*REQUIRED, *(["peft"] if (folder / ADAPTER_CONFIG).is_file() else [])]
    needed = [f"{DISTRIBUTION}=={__version__}", *(f"{name}=={installed(name)}" for name in libraries)]
    version, pip = platform.python_version(), installed("pip")
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        # conda-forge has a new pip later than PyPI
        "dependencies": [f"python={version}", f"pip<={pip}" if pip else "pip", {"pip": needed}],
    }
    tools = {name: installed(name) for name in ("pip", "setuptools", "wheel")}
    python = {
        "python": version,
        "build_dependencies": [f"{name}=={found}" if found else name for name, found in tools.items()],
        "dependencies": [f"-r {REQUIREMENTS}"],
    }
    (folder / REQUIREMENTS).write_text("\n".join(needed), encoding="utf-8")
    (folder / CONDA).write_text(yaml.safe_dump(conda), encoding="utf-8")
    (folder / PYTHON).write_text(yaml.safe_dump(python, sort_keys=False), encoding="utf-8")
