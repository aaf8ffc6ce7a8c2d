"""Objects made of a config: functions in it cost no more than plain ones, and mistakes stay the user's."""

import html
import operator
import time
from functools import partial

import pytest
from omegaconf import OmegaConf

from blurr.config.building import build
from blurr.errors import InputError

ADD = {"_target_": "operator.add", "_partial_": True}


def test_a_function_in_a_config_is_a_plain_partial_of_it():
    made = build(OmegaConf.create({**ADD, "_args_": [1]}))
    assert type(made) is partial
    assert made.func is operator.add
    assert made(2) == 3


def test_functions_among_the_arguments_of_an_object_are_plain_partials_too():
    node = {"_target_": "builtins.dict", "one": ADD, "several": [ADD], "named": {"key": ADD}}
    made = build(OmegaConf.create(node))
    assert type(made["one"]) is type(made["several"][0]) is type(made["named"]["key"]) is partial
    several = build(OmegaConf.create({"x": node}))
    assert type(several["x"]["one"]) is partial


def test_calling_a_configured_function_costs_at_most_twice_a_plain_call():
    def seconds(function) -> float:
        start = time.process_time()
        for _ in range(20_000):
            function("a < b", False)
        return time.process_time() - start

    configured = build(OmegaConf.create({"_target_": "html.escape", "_partial_": True}))
    assert min(seconds(configured) for _ in range(5)) <= 2 * min(seconds(html.escape) for _ in range(5))


def test_run_time_arguments_go_to_the_object_as_they_are():
    rows = [object()]
    made = build(OmegaConf.create({"_target_": "builtins.dict", "a": 1}), rows=rows)
    assert made["rows"] is rows
    assert made["a"] == 1


def test_an_object_that_refuses_its_arguments_names_itself():
    with pytest.raises(InputError, match="Correct the keys of fractions.Fraction in the config"):
        build(OmegaConf.create({"_target_": "fractions.Fraction", "numerator": "x"}))


def test_an_argument_that_refuses_its_own_names_the_whole():
    node = {"_target_": "builtins.dict", "a": {"_target_": "fractions.Fraction", "numerator": "x"}}
    with pytest.raises(InputError, match="Invalid literal .* Correct the keys of builtins.dict in the config"):
        build(OmegaConf.create(node))


def test_a_mistake_that_an_object_explains_is_left_in_its_words():
    node = {"_target_": "blurr.text.language_modeling.masked_lm.MaskedLM", "as_mask": 0.9, "as_random": 0.9}
    for given in (node, {"_target_": "builtins.dict", "task": node}):
        with pytest.raises(InputError, match="together they must not exceed 1.$"):
            build(OmegaConf.create(given))
