"""Every malformed input ends in one clear message, or is handled as documented: no traceback, no silence."""

import re
from pathlib import Path

import pytest

from blurr.data.files import load_files
from blurr.errors import InputError
from blurr.text.seq2seq.summarization import Summarization
from tests.bad_input.configs import composed
from tests.bad_input.corpus import cases
from tests.bad_input.values import TOO_LARGE, too_large

ALL = list(cases(Path()))
QUICK, SLOW = ([str(case) for case in ALL if case.slow == is_slow] for is_slow in (False, True))


@pytest.fixture(scope="module")
def given(tiny_bert):
    return {str(case): case for case in cases(tiny_bert)}


@pytest.mark.parametrize("name", QUICK)
def test_a_malformed_input_is_answered(name, given, work):
    assert given[name].outcome(work) == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_large_malformed_input_is_answered(name, given, work):
    assert given[name].outcome(work) == "ok"


@pytest.mark.parametrize("key", TOO_LARGE)
def test_a_value_that_is_too_large_is_answered_with_the_largest(key, answered_at_once):
    assert re.search(too_large(key, TOO_LARGE[key][1]), answered_at_once)


@pytest.fixture(scope="module")
def answered_at_once():
    """The answer to a command line on which every value is too large: composing one takes a third of a second."""
    with pytest.raises(InputError) as caught:
        composed(*(f"{key}={value}" for key, (value, _) in TOO_LARGE.items()))
    return str(caught.value)


def test_the_corpus_is_large_enough_and_names_each_case_once():
    assert len({str(case) for case in ALL}) == len(ALL) >= 300


@pytest.mark.parametrize(
    ("file", "content", "words", "said"),
    [
        ("model/mine.yaml", "just some words\n", ["model=mine"], "mine.yaml is not a mapping"),
        ("model/mine.yaml", "defaults:\n  - mine\n", ["model=mine"], "includes itself, maybe by another"),
        ("r.jsonl", '{"text": ["x"], "label": "a"}\n' * 9, ["data=files", "data.train=r.jsonl"], "has no texts for"),
        ("r.jsonl", "", ["data=files", "data.train=/dev/zero"], "/dev/zero is a device, not a file"),
        ("r.jsonl", "", ["optimizer.lr=" + "[" * 9999], "nested too deeply"),
    ],
    ids=["words alone", "itself", "a list for a text", "a device", "nested brackets"],
)
def test_the_command_line_answers_in_one_message(file: str, content: str, words: list[str], said: str, work, blurr):
    (work / file).parent.mkdir(exist_ok=True)
    (work / file).write_text(content)
    done = blurr("run", "tracking=none", "model.weights=scratch", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_column_of_numbers_in_a_table_is_read_as_text_where_a_text_is_wanted(work):
    (work / "r.csv").write_text("text,summary\n" + "".join(f"{n},{n}1\n" for n in range(20)))
    rows = load_files(Summarization().schema, train=str(work / "r.csv"))
    assert set(map(type, [*rows.train["text"], *rows.train["summary"]])) == {str}
