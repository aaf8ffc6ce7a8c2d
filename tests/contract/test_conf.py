"""Contract 1: every option composes, every target imports, and our targets' knobs all stand in their YAML."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from fastai.callback.core import Callback
from hydra.utils import get_object
from omegaconf import OmegaConf

from blurr.config import composing, paths, signatures

OPTIONS = [(group, name) for group in paths.groups() for name in paths.options(group)]
ids = [f"{group}={name}" for group, name in OPTIONS]
OF_LEARNER = {"max_grad_norm"}  # stands with the optimizer, and goes to the learner


@pytest.fixture(scope="module", params=OPTIONS, ids=ids)
def composed(request: pytest.FixtureRequest) -> list[tuple[str, str, set[str]]]:
    """Of the config that an option composes, each target with its key and its keys."""
    group, name = request.param
    value = f"[{name}]" if group in ("metrics", "callbacks") else name
    of_task = ["task=summarization"] if group == "generation" else []  # its values are a part of such a task
    cfg = composing.compose([f"{group}={value}", *of_task])
    return list(targets(OmegaConf.to_container(cfg, resolve=True)))


def targets(value: Any, key: str = "") -> Iterator[tuple[str, str, set[str]]]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield key, value["_target_"], {name for name in value if not name.startswith("_")}
        for name, child in value.items():
            yield from targets(child, f"{key}.{name}".lstrip("."))


@cache
def parameters(target: str) -> Mapping[str, inspect.Parameter]:
    made = get_object(target)
    if isinstance(made, type) and issubclass(made, Callback) and "__init__" not in vars(made):
        return {}  # fastai would have it take its events as keywords
    return inspect.signature(made).parameters


def test_an_option_composes_and_its_targets_take_its_keys(composed):
    for key, target, keys in composed:
        if not any(each.kind is each.VAR_KEYWORD for each in parameters(target).values()):
            own = OF_LEARNER if key == "optimizer" else set()
            assert keys - own <= set(parameters(target)), f"{key}: {target} does not take these"


def test_every_knob_of_our_targets_stands_in_the_yaml(composed):
    """A parameter without a default that the YAML leaves out is one that the run gives."""
    for key, target, keys in composed:
        if signatures.is_ours(target):
            knobs = {knob for knob, each in signatures.signature(target).parameters.items() if each.has_default}
            assert knobs <= keys, f"{key}: these cannot be set without a plus sign"


def test_parameters_read_from_source_are_those_of_the_imported_object(composed):
    for target in {target for _, target, _ in composed if signatures.is_ours(target)}:
        read = signatures.signature(target).parameters
        real = {name: each for name, each in parameters(target).items() if each.kind is not each.VAR_KEYWORD}
        assert list(read) == list(real)
        for name, each in real.items():
            assert read[name].has_default == (each.default is not each.empty)


@pytest.mark.parametrize(("group", "name"), OPTIONS, ids=ids)
def test_an_option_says_what_it_is_in_a_line(group, name):
    assert paths.headline(paths.options(group)[name])
