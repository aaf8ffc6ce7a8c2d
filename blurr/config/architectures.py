"""Check, without loading transformers, that it has a class which builds the chosen model for the chosen task."""

import ast
import json
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from blurr.config import paths, signatures
from blurr.errors import InputError


def check_model(config: Mapping[str, Any]) -> None:
    """Refuse a model for whose architecture transformers has no class that does the task.

    Args:
        config: the whole config, as plain values.

    Raises:
        InputError: it has none.
    """
    task, model = config.get("task"), config.get("model")
    if not isinstance(task, dict) or not isinstance(model, dict) or not signatures.is_ours(task.get("_target_", "")):
        return
    model_cls = signatures.class_attribute(task["_target_"], "model_cls")
    arch = model.get("arch") or _arch_of_folder(model.get("name"))
    able = _architectures(model_cls) if model_cls else frozenset()
    if arch and able and arch not in able:
        options = ", ".join(sorted(_options_of(able))) or "none of the options"
        raise InputError(
            f"{task['_target_'].split('.')[-1]} needs a model that transformers builds with {model_cls}, and {arch} "
            f"cannot do that. These can: model={options}."
        )


def _arch_of_folder(name: object) -> str | None:
    file = Path(str(name)).expanduser() / "config.json"
    if not file.is_file():
        return None
    try:
        return typing.cast(str | None, json.loads(file.read_text(encoding="utf-8")).get("model_type"))
    except ValueError as error:
        raise InputError(f"model.name={name}: its config.json is not readable JSON ({error}).") from error


def _options_of(able: frozenset[str]) -> Iterator[str]:
    """Yield the model options whose architecture is one of these."""
    for name, file in paths.options("model").items():
        option = OmegaConf.load(file)
        if isinstance(option, DictConfig) and "arch" in option and option["arch"] in able:
            yield name


@cache
def _architectures(model_cls: str) -> frozenset[str]:
    """Return the model types an auto class can build, read from the source text of transformers; empty when unknown."""
    file = signatures.source_of("transformers", "models", "auto", "modeling_auto.py")
    if file is None or not file.is_file():
        return frozenset()
    scope = ast.parse(file.read_text(encoding="utf-8")).body
    assigned = {
        node.targets[0].id: node.value
        for node in scope
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    owner = next((node for node in scope if isinstance(node, ast.ClassDef) and node.name == model_cls), None)
    mapping = next((node.value for node in owner.body if isinstance(node, ast.Assign)), None) if owner else None
    if not isinstance(mapping, ast.Name):
        return frozenset()
    table = assigned.get(f"{mapping.id}_NAMES")
    names = [node.elts[0] for node in ast.walk(table) if isinstance(node, ast.Tuple)] if table else []
    return frozenset(name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str))
