"""Check, before anything heavy loads, that the parts of a config go together: metrics, model and task."""

import ast
import json
import re
import sys
import typing
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from blurr.config import paths, signatures
from blurr.config.places import check_regular, expanded, kind_of
from blurr.errors import InputError, shortened
from blurr.process.launched import world
from blurr.process.setup import visible_gpus

Config = Mapping[str, Any]
MIXING = ("mixup", "cutmix")
MIXED_TWICE = "callbacks=[mixup,cutmix] would mix rows twice, and their losses only once. Choose one of them."
CACHED_WITH_ADAPTER = (
    "callbacks=[cache_frozen_features] keeps what a body that stays as it is makes of the rows, and an adapter changes "
    "that body. Leave one of them out."
)
# What has been tried with weights that are shared out, and comes to the same end.
SHARED_OPTIMIZERS = ("torch.optim.AdamW", "torch.optim.Adam", "torch.optim.SGD")
SHARED_CALLBACKS = ("save_best", "early_stopping", "gradient_accumulation", "gradient_checkpointing", "class_balance")
DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu|hpu|npu)(:\d+)?")


def check_metrics(config: Config) -> None:
    """Refuse a metric that compares something else than the task predicts."""
    task, predicts = config["task"]["_target_"], predicted(config)
    for name, metric in (config.get("metrics") or {}).items() if predicts else ():
        reads = reads_of(metric)
        if reads and reads not in predicts:
            fitting = options_that_read(predicts)
            raise InputError(
                f"metrics: {name} compares {reads}, but {task.split('.')[-1]} predicts {' or '.join(predicts)}. "
                f"These fit: {', '.join(fitting)}. Choose some with metrics=[{fitting[0]}]."
            )


def predicted(config: Config) -> Collection[str]:
    """Return what a task predicts, such as `classes`; nothing for one that is not blurr's."""
    task = config["task"]["_target_"]
    target = signatures.class_attribute(task, "target_cls") if signatures.is_ours(task) else None
    return signatures.class_texts(target, "predicts") if target else ()


def reads_of(metric: Mapping[str, Any]) -> str | None:
    """Return what a metric compares, such as `classes`; None for one that is not blurr's."""
    target = str(metric.get("_target_"))
    return signatures.class_attribute(target, "reads") if signatures.is_ours(target) else None


def options_that_read(kinds: Collection[str]) -> list[str]:
    """Return the options of `metrics` that compare one of these kinds of predictions."""
    return [option for option, file in paths.options("metrics").items() if _reads_any(file, kinds)]


def _reads_any(file: Path, kinds: Collection[str]) -> bool:
    option = typing.cast(dict[str, dict[str, Any]], OmegaConf.to_container(OmegaConf.load(file)))
    return any(reads_of(metric) in kinds for metric in option.values())


def check_batch_size(config: Config) -> None:
    """Refuse two limits of a batch that exclude each other."""
    loader = config["loader"]
    limits = [name for name in ("max_tokens", "max_seconds") if loader.get(name) is not None]
    if loader.get("batch_size") == "auto" and limits:
        raise InputError(
            f"loader.batch_size=auto and loader.{limits[0]} both say how much makes a batch; leave one of them out."
        )


def check_mixing(config: Config) -> None:
    """Refuse two callbacks that each mix the rows of a batch."""
    if all(name in (config.get("callbacks") or {}) for name in MIXING):
        raise InputError(MIXED_TWICE)


def check_adapter(config: Config) -> None:
    """Refuse what cannot be done beside an adapter, or without one."""
    if config.get("adapter") and "cache_frozen_features" in (config.get("callbacks") or {}):
        raise InputError(CACHED_WITH_ADAPTER)
    quantize, adapter = config["model"].get("quantize"), config.get("adapter") or {}
    if quantize and not adapter:
        raise InputError(
            f"model.quantize={quantize} makes weights that cannot be trained themselves. Train an adapter beside them: "
            "adapter=lora adapter.merge=false."
        )
    if quantize and adapter.get("merge", False):
        raise InputError(
            f"model.quantize={quantize}: an adapter cannot be added to weights of so few bits. Save it alone: "
            "adapter.merge=false."
        )


def check_augment(config: Config) -> None:
    """Refuse an augmentation of another modality than the task reads."""
    augment, task = str((config.get("augment") or {}).get("_target_")), str(config["task"]["_target_"])
    if not (signatures.is_ours(augment) and signatures.is_ours(task)):
        return
    of_augment, of_task = (target.split(".")[1] for target in (augment, task))
    if of_augment != of_task:
        there = [
            name for name, file in paths.options("augment").items() if f"blurr.{of_task}." in file.read_text("utf-8")
        ]
        fitting = f"These fit: {', '.join(there)}." if there else "No option fits; leave it out, or augment=none."
        raise InputError(
            f"augment={augment.split('.')[-1]} is for the modality {of_augment}, and {task.split('.')[-1]} is of "
            f"{of_task}. {fitting}"
        )


def check_device(config: Config) -> None:
    """Refuse what is not the name of a device; whether this machine has it is seen when torch is loaded."""
    device = config["device"]
    if not DEVICE.fullmatch(device):
        raise InputError(f"device={shortened(device)}: must be auto, cpu, cuda, cuda:1, mps or the like.")


def check_processes(config: Config) -> None:
    """Refuse more processes than GPUs, devices that several cannot share, and a number that torchrun contradicts."""
    count, device, started = config["processes"], config["device"], world()
    if started > 1 and count not in (1, started):
        raise InputError(
            f"processes={count}, and {started} processes were started (by torchrun, accelerate or srun). Leave "
            "processes out: it is the number of those started."
        )
    if count == 1 or started > 1:
        return
    if ":" in device or device == "mps" or (device == "auto" and sys.platform == "darwin"):
        raise InputError(
            f"device={device}: {count} processes train on as many CUDA devices, or on the CPU. Set device=cuda or "
            "device=cpu."
        )
    gpus = visible_gpus()
    if device != "cpu" and gpus and count > len(gpus):
        raise InputError(
            f"processes={count}: each takes a GPU of its own, and there are {len(gpus)} ({', '.join(gpus)}). Set "
            f"processes={len(gpus)} at most, or device=cpu."
        )


def check_shard(config: Config) -> None:
    """Refuse what does not go together with weights that several processes share out among themselves."""
    if not config["model"].get("shard"):
        return
    if max(config["processes"], world()) == 1:
        raise InputError("model.shard=true: one process has no others to share the weights with. Set processes=2, say.")
    loader, optimizer = config["loader"], config["optimizer"]
    words = {
        f"precision={config['precision']}": config["precision"] in ("auto", "fp16"),
        f"compile={config['compile']}": config["compile"] is not False,
        "on_nan=rollback": config["on_nan"] == "rollback",
        "loader.batch_size=auto": loader.get("batch_size") == "auto",
        "optimizer.lr=auto": optimizer.get("lr") == "auto",
        f"optimizer: {optimizer['_target_']}": optimizer["_target_"] not in SHARED_OPTIMIZERS,
        "adapter": bool(config.get("adapter")),
        "a task that writes texts": "texts" in predicted(config),
        **{f"callbacks: {name}": name not in SHARED_CALLBACKS for name in config.get("callbacks") or {}},
    }
    wrong = [word for word, is_there in words.items() if is_there]
    if wrong:
        raise InputError(f"model.shard=true does not go together with {', '.join(wrong)}. Leave one of them out.")


def path_of(key: str, text: str) -> Path:
    """Return the path that a value of the config names.

    Raises:
        InputError: it cannot be one; the message begins with the key.
    """
    try:
        return expanded(text)
    except InputError as error:
        raise InputError(f"{key}={shortened(text)}: {error}") from error


def check_model(config: Mapping[str, Any]) -> None:
    """Refuse a model if transformers has no class for its architecture and the task.

    Args:
        config: the whole config, as plain values.

    Raises:
        InputError: there is no such class.
    """
    task, model = config["task"], config["model"]
    if not signatures.is_ours(task["_target_"]):
        return
    arch, able = model.get("arch") or _arch_of_folder(model.get("name")), _able(task["_target_"])
    if arch and able and arch not in able:
        options = ", ".join(options_of_model(task["_target_"])) or "none of the options"
        raise InputError(
            f"{task['_target_'].split('.')[-1]} needs a model that transformers builds with "
            f"{signatures.class_attribute(task['_target_'], 'model_cls')}, and {arch} "
            f"cannot do that. These can: model={options}."
        )


def options_of_model(task: str) -> list[str]:
    """Return the options of `model` whose architecture transformers has a class for, for a task of ours."""
    return sorted(_options_of(_able(task)))


def _able(task: str) -> frozenset[str]:
    """Return the model types that the auto classes of a task can build; empty when unknown."""
    model_cls = signatures.class_attribute(task, "model_cls")
    return frozenset().union(*map(_architectures, model_cls.split(" | "))) if model_cls else frozenset()


def _arch_of_folder(name: object) -> str | None:
    file = path_of("model.name", str(name)) / "config.json"
    if kind_of(file) is None:
        return None
    try:
        check_regular(file)
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"model.name={name}: its config.json is not readable JSON ({shortened(error)}).") from error
    arch = config.get("model_type") if isinstance(config, dict) else None
    if arch is not None and not isinstance(arch, str):
        raise InputError(f"model.name={name}: its config.json says model_type={arch}, which is not a name.")
    return arch


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
