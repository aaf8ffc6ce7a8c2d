"""Every malformed input ends in one clear message, or is handled as documented: no traceback, no silence."""

from pathlib import Path

import pytest

from blurr.data.files import load_files
from blurr.text.seq2seq.summarization import Summarization
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


@pytest.mark.parametrize(
    ("file", "content", "words", "said"),
    [
        ("model/mine.yaml", "just some words\n", ["model=mine"], "mine.yaml is not a mapping"),
        ("model/mine.yaml", "defaults:\n  - mine\n", ["model=mine"], "includes itself, maybe by another"),
        ("r.jsonl", '{"text": ["x"], "label": "a"}\n' * 9, ["data=files", "data.train=r.jsonl"], "has no texts for"),
    ],
    ids=["words alone", "itself", "a list for a text"],
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
