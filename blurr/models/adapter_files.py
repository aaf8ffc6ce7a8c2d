"""Write an adapter into a folder, with what tells its base, and load a model by that base and the adapter."""

import json
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PretrainedConfig, PreTrainedModel

from blurr.errors import InputError, ResourceError
from blurr.models.adapted import OF_PEFT, Adapter, Base, calling_peft, checksum_of, library, portable, prepare_quantized
from blurr.models.auto import from_checkpoint
from blurr.models.quantizing import quantization
from blurr.models.weights import choose_weights
from blurr.runs.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE
from blurr.runs.parsing import parse_json, validated


def save_adapter(folder: Path, adapter: Adapter) -> None:
    """Write an adapter as `PeftModel.from_pretrained` reads it, and beside it what tells its base."""
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = portable(adapter)
    model = adapter.peft.get_base_model()
    made_by = {"base_model_class": type(model).__name__, "parent_library": type(model).__module__}
    if adapter.base is not None:
        config.base_model_name_or_path, config.revision = adapter.base.name, adapter.base.revision
        (folder / BASE).write_text(json.dumps(asdict(adapter.base), indent=2) + "\n", encoding="utf-8")
    config.save_pretrained(str(folder), auto_mapping_dict=made_by)
    save_file(weights, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def save_alone(folder: Path, adapter: Adapter) -> None:
    """Write an adapter with the config of its model, which `load_objects` loads with the base that it names."""
    save_adapter(folder, adapter)
    model: Any = adapter.peft.get_base_model()
    config = deepcopy(model.config)
    config.architectures, config.dtype = [type(model).__name__], model.dtype
    if "quantization_config" in vars(config):  # the base is quantized again when it is loaded
        del config.quantization_config
    config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def base_of(folder: Path) -> Base | None:
    """Return the base of the adapter in a folder; None if it holds no adapter that blurr wrote.

    Raises:
        InputError: It is not as it was written.
    """
    file = folder / BASE
    if not (file.is_file() and (folder / ADAPTER_CONFIG).is_file()):
        return None
    try:
        text = file.read_text(encoding="utf-8")
        validated(Base, text)
        validated(PeftFile, (folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        return Base(**parse_json(text))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder} does not hold an adapter as blurr writes it, and its base: {error}.") from error


class PeftFile(BaseModel):
    """What is read of peft's config before peft reads it: other methods, or Megatron's, could run code of others."""

    peft_type: Literal["LORA", "VERA", "IA3"]
    megatron_config: None = None
    init_lora_weights: bool = True


def given_by(folder: Path) -> set[str]:
    """Return the names of the model's own weights that are saved with an adapter, such as those of the head.

    Raises:
        InputError: the weights of the adapter cannot be read.
    """
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as weights:
            return {name.removeprefix(OF_PEFT) for name in weights.keys()}  # noqa: SIM118  # it is no dict
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder / ADAPTER_WEIGHTS} cannot be read: {error}.") from error


def load_with_base(
    folder: Path, base: Base, model_cls: Any, config: PretrainedConfig, **options: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load the base of an adapter, and add the adapter to its weights.

    Args:
        folder: Of the adapter.
        base: What it was trained on.
        model_cls: As for `load_objects`.
        config: Of the model with its adapter.
        options: Of `from_pretrained`; their `dtype` is that of the result.

    Returns:
        The model, and what `from_pretrained` says of it: which weights neither the base nor the adapter has.

    Raises:
        InputError: The base cannot be had or is another one, or peft is not installed.
    """
    peft, given, dtype = library(), given_by(folder), options["dtype"]
    _check_at_hand(folder, base)
    at = {"dtype": getattr(torch, base.dtype), "revision": base.revision, "ignore_mismatched_sizes": True}
    if base.quantize is not None:
        at["quantization_config"] = quantization(base.quantize, base.name, model_cls, {"revision": base.revision})
    model, info = from_checkpoint(model_cls, base.name, config=config, **{**options, **at})
    if base.quantize is not None:
        prepare_quantized(model)
    _check_same(model, given, folder, base)
    with calling_peft(model):
        whole = peft.PeftModel.from_pretrained(model, str(folder))
        if base.quantize is None:
            model = whole.merge_and_unload().requires_grad_(True)
            model = model if dtype == "auto" else model.to(dtype)
    lacking = {key for key in info["missing_keys"] if key not in given}
    resized = {each for each in info["mismatched_keys"] if each[0] not in given}
    return model, {**info, "missing_keys": lacking, "mismatched_keys": resized}


def _check_same(model: PreTrainedModel, given: set[str], folder: Path, base: Base) -> None:
    """Refuse another base than the one that an adapter was trained on.

    Raises:
        InputError: It is another one.
    """
    found = checksum_of(model, given)
    if found != base.checksum:
        raise InputError(
            f"The adapter in {folder} was trained on other weights than {base.name} has today: their checksum was "
            f"{base.checksum}, and is {found}. Put the weights back that it was trained on, or train it again."
        )


def _check_at_hand(folder: Path, base: Base) -> None:
    """Refuse an adapter whose base cannot be had.

    Raises:
        InputError: There is no such folder or checkpoint.
        ResourceError: The Hub does not answer.
    """
    try:
        choose_weights(base.name, "pretrained")
    except (InputError, ResourceError) as error:
        raise type(error)(
            f"{folder} holds an adapter alone, and its base cannot be had: {error} It was trained on {base.name!r}: "
            "put that back there, or make a link of this name to where it is now."
        ) from error
