"""Check a composed config before anything heavy loads: keys, types, ranges, and parts that do not fit each other."""

import re
import typing
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from blurr.config import paths, signatures
from blurr.config.annotations import (
    Count,
    Decay,
    Layers,
    Natural,
    NonNegative,
    Parts,
    Positive,
    Processes,
    Rate,
    Seed,
    SettingsOf,
    Size,
    Threads,
)
from blurr.config.combinations import (
    check_adapter,
    check_augment,
    check_batch_size,
    check_device,
    check_metrics,
    check_mixing,
    check_model,
    check_processes,
    check_shard,
)
from blurr.config.destinations import check_borrowed
from blurr.config.moved import with_current_names
from blurr.config.values import check_value
from blurr.errors import InputError, nearest

# The parts that every run needs.
NEEDED = ("task", "model", "data", "loader", "optimizer", "schedule", "checkpoint", "tracking")
# Keys outside of nodes with a target of ours.
KEYS: dict[str, Any] = {
    "seed": Seed,
    "report": bool,
    "precision": signatures.alias("blurr.training.precision", "Precision"),
    "on_nan": signatures.alias("blurr.training.guard", "OnNan"),
    "compile": signatures.alias("blurr.training.precision", "Compile"),
    "threads": Threads,
    "processes": Processes,
    "device": Annotated[str, MinLen(1)],
    "objective": Annotated[str, MinLen(1)] | Annotated[list[str], MinLen(1)],
    "output_dir": Annotated[str, MinLen(1)],
    "resume": str | None,
    "overwrite": bool,
    **{f"optimizer.{name}": NonNegative for name in ("weight_decay", "wd", "eps")},
    **{f"optimizer.{name}": Decay for name in ("momentum", "mom", "sqr_mom")},
    "optimizer.betas": tuple[Decay, Decay],
    "optimizer.fused": bool | None,
    "optimizer.max_grad_norm": Positive | None,
    "optimizer.lr": Rate | tuple[Rate, Rate] | Literal["auto"] | None,
}
# Parameters of other libraries' targets whose values decide whether a run makes sense.
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
Combination = tuple[tuple[str, ...], Callable[[Mapping[str, Any]], None]]
"""Parts of a config, and what raises an `InputError` where they do not go together."""
# What is checked of several parts, where none of them is wrong itself.
COMBINATIONS: tuple[Combination, ...] = (
    (("task", "metrics"), check_metrics),
    (("task", "model"), check_model),
    (("task", "augment"), check_augment),
    (("callbacks",), check_mixing),
    (("callbacks", "adapter", "model"), check_adapter),
    (("loader",), check_batch_size),
    (("device",), check_device),
    (("device", "processes"), check_processes),
    (
        ("task", "model", "processes", "precision", "compile", "loader", "optimizer", "callbacks", "adapter"),
        check_shard,
    ),
)


@dataclass(frozen=True)
class Node:
    """A part of the config that has a `_target_`: its key, the target, and its values."""

    key: str
    target: Any
    values: Mapping[str, Any]


def check(cfg: DictConfig, *others: Combination) -> None:
    """Check every value that can be checked without loading data or a model.

    Args:
        cfg: the config.
        others: what else is checked where the parts that it is about have no mistakes.

    Raises:
        InputError: all mistakes, a line each.
    """
    config, missing = _resolved(cfg)
    check_borrowed(config)
    found: dict[str, list[str]] = {}  # by the part of the config that they are in
    for key, mistakes in [*missing.items(), *_found(config, missing)]:
        found.setdefault(key.split(".")[0], []).extend(mistakes)
    wrong = {part for part, mistakes in found.items() if mistakes}
    # a part that is wrong itself may look as if it did not fit the others
    fitting = [check for parts, check in (*COMBINATIONS, *others) if wrong.isdisjoint(parts)]
    _raise_all([*chain(*found.values()), *(said for check in fitting for said in _messages(partial(check, config)))])


def _found(config: Mapping[str, Any], missing: Container[str]) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the keys of a config, or of its parts, with what is wrong with each."""
    for key in NEEDED:
        node = config.get(key)
        if key not in missing and (not isinstance(node, dict) or "_target_" not in node):
            one = f"Choose one: {key}=… of {', '.join(paths.options(key))}." if key in paths.groups() else ""
            there = one or f"It has no options: set its keys, each as {key}.KEY=…; `blurr plan --config` shows them."
            yield key, [f"{key}={node}: every run needs this, with a _target_. {there}"]
    for key, expected in KEYS.items():
        if "." not in key and key not in config and key not in missing:
            yield key, [f"{key} was taken out of the config, and every run needs it. Leave ~{key} out."]
        yield key, _wrong_values(config, {key: expected})
    for group in ("metrics", "callbacks"):
        chosen = config.get(group) or {}
        if not isinstance(chosen, dict):
            yield group, [f"{group}={chosen}: must be a mapping of names, each with a _target_."]
            continue
        for name, node in chosen.items():
            if not isinstance(node, dict):
                yield (
                    group,
                    [f"{group}.{name}={node}: must be a mapping with a _target_. ~{group}.{name} takes it out."],
                )
    for each in _nodes(config):
        yield each.key, _mistakes(each)
    yield "model", _wrong_sizes(config.get("model"))


def _raise_all(mistakes: Sequence[str]) -> None:
    found: dict[str, str] = {}
    for mistake in mistakes:  # a value that others copy by ${…} is reported once, under its own key, which comes first
        found.setdefault(re.sub(r"^[\w.]+\.", "", mistake), mistake)
    if found:
        raise InputError("\n".join(found.values()))


def _messages(check: Callable[[], None]) -> list[str]:
    """Return the mistake that a check raises, as a list."""
    try:
        check()
    except InputError as error:
        return [str(error)]
    return []


def _wrong_values(values: Mapping[str, Any], types: Mapping[str, Any], key: str = "") -> Iterator[str]:
    """Yield what is wrong with values, given the types of their dotted keys."""
    for name, expected in types.items():
        group, _, last = name.rpartition(".")
        node = values.get(group, {}) if group else values
        if isinstance(node, Mapping) and last in node:
            yield from _messages(partial(check_value, f"{key}.{name}".lstrip("."), node[last], expected))


def _mistakes(node: Node) -> Iterator[str]:
    """Yield what is wrong with the values of a part that has a `_target_`."""
    if not isinstance(node.target, str) or not node.target:
        yield f"{node.key}._target_={node.target}: must be the dotted name of a function or class."
    elif signatures.is_ours(node.target):
        yield from _mistakes_of_ours(node)
    else:
        yield from _wrong_values(node.values, LIBRARY.get(node.target, {}), node.key)


def _wrong_sizes(model: Any) -> Iterator[str]:
    """Yield what is wrong with the sizes of a model, which transformers does not check."""
    for group in ("scratch", "config_kwargs"):
        values = model.get(group) if isinstance(model, dict) else None
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            yield from _messages(partial(check_value, f"model.{group}.{name}", value, _size_of(name, group, value)))


def _size_of(name: str, group: str, value: float) -> Any:
    """Return the type of a number in a model's config, by its name."""
    if "drop" in name:
        return Decay
    return float if isinstance(value, float) or group != "scratch" else Layers if "layers" in name else Size


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


def _resolved(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the config as plain values, without Hydra's own part, and a mistake for each key without a value."""
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    missing: list[str] = []
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        config = _given(with_current_names(OmegaConf.to_container(cfg, resolve=True)))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        wrong = f"{error.full_key}: the config cannot be resolved. {reason}."
        raise InputError(_missing(missing) if missing else wrong) from error
    return config, {key: [_missing(missing)] for key in missing}


def _missing(keys: Sequence[str]) -> str:
    example = " ".join(f"{key}=…" for key in keys)
    return f"{', '.join(keys)} must be given. Add to the command line: {example}"


def _given(value: Any) -> Any:
    """Leave out what has no value, at any depth."""
    if isinstance(value, dict):
        return {key: _given(child) for key, child in value.items() if child != MISSING}
    return [_given(child) for child in value if child != MISSING] if isinstance(value, list) else value


def _nodes(value: Any, key: str = "") -> Iterator[Node]:
    """Yield every part of a config that has a `_target_`, outermost first."""
    if isinstance(value, dict):
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
            wrong = _messages(partial(check_value, key, value, takes.parameters[name].type))
            yield from wrong or _wrong_settings(key, value, takes.parameters[name].type)


def _wrong_settings(key: str, values: Mapping[str, Any], expected: Any) -> Iterator[str]:
    """Yield the keys of a mapping that the class in its type does not have, and values out of range."""
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
