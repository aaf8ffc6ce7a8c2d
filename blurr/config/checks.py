"""Check a composed config before anything heavy loads: types, ranges, files, and whether the model can do the task."""

import json
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter

from blurr.config import paths, signatures
from blurr.config.annotations import Count, Decay, Natural, NonNegative, Parts, Positive, Seed, SettingsOf, Size
from blurr.config.architectures import check_model
from blurr.config.moved import with_current_names
from blurr.errors import InputError, nearest

# What no run can do without.
NEEDED = ("task", "model", "data", "loader", "optimizer", "schedule", "checkpoint", "tracking")
# Keys that stand in no node with a target of ours.
KEYS: dict[str, Any] = {
    "seed": Seed,
    "report": bool,
    "precision": signatures.alias("blurr.training.precision", "Precision"),
    "on_nan": signatures.alias("blurr.training.guard", "OnNan"),
    "compile": signatures.alias("blurr.training.precision", "Compile"),
    "threads": signatures.alias("blurr.config.annotations", "Threads"),
    "objective": Annotated[str, MinLen(1)] | Annotated[list[str], MinLen(1)],
    "output_dir": Annotated[str, MinLen(1)],
    "resume": str | None,
    "overwrite": bool,
    **{f"optimizer.{name}": NonNegative for name in ("weight_decay", "wd", "eps")},
    **{f"optimizer.{name}": Decay for name in ("momentum", "mom", "sqr_mom")},
    "optimizer.betas": tuple[Decay, Decay],
    "optimizer.fused": bool | None,
    "optimizer.lr": Positive | tuple[Positive, Positive] | Literal["auto"] | None,
}
# Of targets of other libraries, the parameters whose values decide whether a run makes sense.
_OF_SAMPLERS = {"seed": Seed | None, "n_startup_trials": Natural}
LIBRARY: dict[str, dict[str, Any]] = {
    "fastai.callback.training.GradientClip": {"max_norm": Positive, "norm_type": Positive},
    **{f"optuna.samplers.{name}Sampler": _OF_SAMPLERS for name in ("CmaEs", "Random", "TPE")},
    "optuna.pruners.SuccessiveHalvingPruner": {
        "min_resource": Count | Literal["auto"],
        "reduction_factor": Parts,
        "min_early_stopping_rate": Natural,
    },
    "optuna.pruners.HyperbandPruner": {"min_resource": Count, "reduction_factor": Parts},
    "optuna.pruners.MedianPruner": {"n_startup_trials": Natural, "n_warmup_steps": Natural, "interval_steps": Count},
    "optuna.pruners.PatientPruner": {"patience": Natural, "min_delta": NonNegative},
}
NOUNS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
    Callable: "a function, as {_target_: my_module.name, _partial_: true}",
}
LOAD_FILES = "blurr.data.files.load_files"


@dataclass(frozen=True)
class Node:
    """A part of the config that has a `_target_`: its key, the target, and the values under it."""

    key: str
    target: str
    values: Mapping[str, Any]


def check(cfg: DictConfig) -> None:
    """Check every value that can be checked without loading data or a model.

    Raises:
        InputError: all mistakes in single values, a line each; else what does not go together.
    """
    config = _resolved(cfg)
    _check_needed(config)
    nodes = list(_nodes(config))
    _raise_all(
        [
            *_wrong_values(config, KEYS),
            *(mistake for node in nodes for mistake in _mistakes(node)),
            *_wrong_sizes(config.get("model")),
        ]
    )
    _raise_all([m for check in (_check_metrics, _check_files, check_model) for m in _messages(partial(check, config))])


def _raise_all(mistakes: Sequence[str]) -> None:
    found: dict[str, str] = {}
    for mistake in mistakes:  # a value that others take over by ${…} is said once, under its own key, which comes first
        found.setdefault(re.sub(r"^[\w.]+\.", "", mistake), mistake)
    if found:
        raise InputError("\n".join(found.values()))


def _messages(check: Callable[[], None]) -> list[str]:
    """Return the mistakes that a check raises, as a list that more can be added to."""
    try:
        check()
    except InputError as error:
        return [str(error)]
    return []


def _wrong_values(values: Mapping[str, Any], types: Mapping[str, Any], key: str = "") -> Iterator[str]:
    """Yield what is wrong with the values whose dotted keys have a type."""
    for name, expected in types.items():
        group, _, last = name.rpartition(".")
        node = values.get(group, {}) if group else values
        if last in node:
            yield from _messages(partial(_check_value, f"{key}.{name}".lstrip("."), node[last], expected))


def _mistakes(node: Node) -> Iterator[str]:
    """Yield what is wrong with the values of a part that has a `_target_`."""
    if signatures.is_ours(node.target):
        yield from _mistakes_of_ours(node)
    else:
        yield from _wrong_values(node.values, LIBRARY.get(node.target, {}), node.key)


def _wrong_sizes(model: Any) -> Iterator[str]:
    """Yield what is wrong with the sizes of a model, which transformers takes as they are."""
    for group in ("scratch", "config_kwargs"):
        values = model.get(group) if isinstance(model, dict) else None
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            expected = Decay if "drop" in name else Size if isinstance(value, int) and group == "scratch" else float
            yield from _messages(partial(_check_value, f"model.{group}.{name}", value, expected))


def _check_needed(config: Mapping[str, Any]) -> None:
    for key in NEEDED:
        node = config.get(key)
        if not isinstance(node, dict) or "_target_" not in node:
            there = f" Choose one: {key}=… of {', '.join(paths.options(key))}." if key in paths.groups() else ""
            raise InputError(f"{key}={node}: every run needs this, with a _target_.{there}")
    for key in sorted(name for name in KEYS if "." not in name):
        if key not in config:
            raise InputError(f"{key} was taken out of the config, and every run needs it. Leave ~{key} out.")


def check_part(key: str, node: DictConfig) -> None:
    """Check a part of the config that has a `_target_` of ours.

    Args:
        key: where it stands in the config.
        node: the part.

    Raises:
        InputError: all mistakes found, a line each.
    """
    values = typing.cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    _raise_all(list(_mistakes(Node(key, values["_target_"], values))))


def describe(expected: Any) -> str:
    """Say in words what a type admits, e.g. `a whole number of at least 1 or 'auto'`."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is Annotated:
        return f"{describe(arguments[0])}{_bounds(arguments[1:])}"
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        length = f" of {len(arguments)}" if origin is tuple and ... not in arguments else ""
        return f"a list{length}, each {describe(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return NOUNS[dict]
    return NOUNS.get(origin or expected, str(expected))


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as plain values, without Hydra's own part."""
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            example = " ".join(f"{key}=…" for key in missing)
            raise InputError(f"{', '.join(missing)} must be given. Add to the command line: {example}")
        return typing.cast(dict[str, Any], with_current_names(OmegaConf.to_container(cfg, resolve=True)))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{error.full_key}: the config cannot be resolved. {reason}.") from error


def _nodes(value: Any, key: str = "") -> Iterator[Node]:
    """Yield every part of a config that has a `_target_`, outermost first."""
    if isinstance(value, dict):
        if not isinstance(value.get("_target_", ""), str):
            raise InputError(f"{key}._target_={value['_target_']}: must be the dotted name of a function or class.")
        if "_target_" in value:
            yield Node(key, value["_target_"], value)
        for name, child in value.items():
            yield from _nodes(child, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _nodes(child, f"{key}.{index}")


def _mistakes_of_ours(node: Node) -> Iterator[str]:
    try:
        takes = signatures.signature(node.target)
    except InputError as error:
        yield f"{node.key}._target_={node.target}: {error}"
        return
    for name, value in node.values.items():
        key = f"{node.key}.{name}"
        if name.startswith("_") or (name not in takes.parameters and takes.open):
            continue
        if name not in takes.parameters:
            there = list(takes.parameters)
            yield f"There is no '{key}'.{nearest(name, there)} {node.key} has: {', '.join(there)}."
            continue
        is_built = isinstance(value, dict) and "_target_" in value  # checked on its own
        if takes.parameters[name].type is not signatures.UNKNOWN and not is_built:
            wrong = _messages(partial(_check_value, key, value, takes.parameters[name].type))
            yield from wrong or _wrong_settings(key, value, takes.parameters[name].type)


def _check_value(key: str, value: Any, expected: Any) -> None:
    try:
        # As JSON, because there a list may stand for a tuple and a whole number for a number, and nothing else is lax.
        TypeAdapter(expected).validate_json(json.dumps(value, allow_nan=False), strict=True)
    except ValueError as error:  # pydantic's, or that of a number which is none or infinite
        literals = [choice for choice in _literals(expected) if isinstance(choice, str)]
        hint = nearest(value, literals) if isinstance(value, str) else ""
        shown = value if isinstance(value, str) else json.dumps(value)
        raise InputError(f"{key}={shown}: must be {describe(expected)}.{hint}") from error


def _wrong_settings(key: str, values: Mapping[str, Any], expected: Any) -> Iterator[str]:
    """Yield the keys that are no attributes of the class which a mapping's type names, and values without sense."""
    for mark in typing.get_args(expected)[1:]:
        if not isinstance(mark, SettingsOf):
            continue
        known = signatures.attributes(mark)
        for name in values if known else ():
            if name not in known:
                yield (
                    f"There is no '{key}.{name}'.{nearest(name, known)} {key} takes the settings of "
                    f"{mark.library}.{mark.name}."
                )
        yield from _wrong_values(values, mark.types, key)


def _literals(expected: Any) -> Iterator[Any]:
    if typing.get_origin(expected) is Literal:
        yield from typing.get_args(expected)
    else:
        for argument in typing.get_args(expected):
            yield from _literals(argument)


def _bounds(constraints: tuple[Any, ...]) -> str:
    words = []
    for constraint in constraints:
        match constraint:
            case Ge(ge=low):
                words.append(f"of at least {low}")
            case Gt(gt=low):
                words.append(f"above {low}")
            case Le(le=high):
                words.append(f"at most {high}")
            case Lt(lt=high):
                words.append(f"below {high}")
            case MinLen():
                return " that is not empty"
    return f" {' and '.join(words)}" if words else ""


def _check_metrics(config: Mapping[str, Any]) -> None:
    """Refuse a metric that compares what the task does not predict."""
    target = config.get("task", {}).get("_target_", "")
    learned = signatures.class_attribute(target, "target_cls") if signatures.is_ours(target) else None
    predicts = signatures.class_texts(learned, "predicts") if learned else ()
    for name, metric in config.get("metrics", {}).items() if predicts else ():
        reads = reads_of(metric)
        if reads and reads not in predicts:
            fitting = options_that_read(predicts)
            raise InputError(
                f"metrics: {name} compares {reads}, but {target.split('.')[-1]} predicts {' or '.join(predicts)}. "
                f"These fit: {', '.join(fitting)}. Choose some with metrics=[{fitting[0]}]."
            )


def reads_of(metric: Mapping[str, Any]) -> str | None:
    """Return what a metric compares, such as `classes`; None for one that is not blurr's."""
    target = str(metric.get("_target_"))
    return signatures.class_attribute(target, "reads") if signatures.is_ours(target) else None


def options_that_read(predicts: Collection[str]) -> list[str]:
    """Return the options of `metrics` that compare what a task predicts."""
    return [option for option, file in paths.options("metrics").items() if _fits(file, predicts)]


def _fits(file: Path, predicts: Collection[str]) -> bool:
    """Does a file of metrics hold one that compares what the task predicts?"""
    option = typing.cast(dict[str, dict[str, Any]], OmegaConf.to_container(OmegaConf.load(file)))
    return any(reads in predicts for metric in option.values() if (reads := reads_of(metric)))


def _check_files(config: Mapping[str, Any]) -> None:
    data = config.get("data")
    if not isinstance(data, dict) or data.get("_target_") != LOAD_FILES:
        return
    for split in ("train", "valid", "test"):
        given = data.get(split) or []
        for text in [given] if isinstance(given, str) else given:
            if not any(sign in text for sign in "*?["):  # a pattern is resolved where it is used
                _check_file(f"data.{split}", Path(text).expanduser())


def _check_file(key: str, path: Path) -> None:
    if path.is_dir():
        if not any(path.rglob("*.txt")):
            there = sorted(child.name for child in path.iterdir() if child.is_file())
            hint = f" Did you mean {key}={path / there[0]}?" if there else ""
            raise InputError(
                f"{key}={path}: this is a folder without .txt files.{hint} Give a file, or a folder of texts."
            )
        return
    if not path.exists():
        there = sorted(child.name for child in path.parent.iterdir()) if path.parent.is_dir() else []
        place = path.parent if path.parent.is_dir() else f"{path.parent}, which does not exist"
        raise InputError(
            f"{key}={path}: there is no such file.{nearest(path.name, there)} Looked in {Path.cwd() / place}."
        )
    try:
        with path.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise InputError(f"{key}={path}: this file cannot be read ({error.strerror}).") from error
    if not first:
        raise InputError(f"{key}={path}: this file is empty. Give one with at least a header and a row.")
