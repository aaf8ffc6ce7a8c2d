"""Every malformed input ends in one clear message, or is handled as documented: no traceback, no silence."""

from pathlib import Path

import pytest

from tests.bad_input.corpus import checkpoints, configs, data

CONFIGS = list(configs())
NAMES = [f"{case.kind}: {case.name}" for of_kind in (data, checkpoints) for case in of_kind(Path())]


@pytest.mark.parametrize("case", CONFIGS, ids=lambda case: f"{case.kind}: {case.name}")
def test_a_malformed_config_is_answered(case, work):
    assert case.outcome(work) == "ok"


@pytest.fixture(scope="module")
def cases(tiny_bert):
    return {f"{case.kind}: {case.name}": case for of_kind in (data, checkpoints) for case in of_kind(tiny_bert)}


@pytest.mark.parametrize("name", NAMES)
def test_malformed_data_and_checkpoints_are_answered(name, cases, work):
    assert cases[name].outcome(work) == "ok"


def test_the_corpus_is_large_enough():
    assert len(CONFIGS) + len(NAMES) >= 150
