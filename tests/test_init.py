"""`blurr init`: a folder to start from, with the columns of a file filled in."""

import json
from pathlib import Path

import pytest
import yaml

from blurr import cli
from blurr.config import checks, composing, paths
from blurr.errors import InputError
from blurr.plan import plan

WORDS = "a film that is good and long and has a plot and some more words"
TABLES = {
    "classes": (
        [{"Review": f"{WORDS} {i}", "id": f"x{i}", "stars": i % 3} for i in range(30)],
        "sequence_classification",
        {"text": "Review", "label": "stars"},
    ),
    "by content": (
        [{"key": f"k{i}", "was": f"{WORDS} {i}", "verdict": ["up", "down"][i % 2]} for i in range(30)],
        "sequence_classification",
        {"text": "was", "label": "verdict"},
    ),
    "pairs": (
        [{"sentence1": WORDS, "sentence2": f"{WORDS} {i}", "label": i % 2} for i in range(30)],
        "sequence_classification",
        {"text": "sentence1", "text_pair": "sentence2", "label": "label"},
    ),
    "summaries": (
        [{"dialogue": f"{WORDS} {i}", "summary": f"film {i}", "topic": "film"} for i in range(30)],
        "summarization",
        {"text": "dialogue", "summary": "summary"},
    ),
    "questions": (
        [{"question": f"Who {i}?", "context": f"It was Ann {i}.", "answers": f"Ann {i}"} for i in range(30)],
        "question_answering",
        {"question": "question", "context": "context", "answers": "answers"},
    ),
    "entities": (
        [{"tokens": ["Ann", "came", str(i)], "ner_tags": ["B-P", "O", "O"]} for i in range(30)],
        "token_classification",
        {"tokens": "tokens", "labels": "ner_tags"},
    ),
    "texts within objects": (
        [{"meta": {"lang": "en", "body": f"{WORDS} {i}"}, "verdict": ["up", "down"][i % 2]} for i in range(30)],
        "sequence_classification",
        {"text": "meta.body", "label": "verdict"},
    ),
    "languages": (
        [{"translation": {"de": f"ein Film {i}", "en": f"a film {i}"}} for i in range(30)],
        "translation",
        {"source": "translation.de", "target": "translation.en"},
    ),
    "chats": (
        [
            {"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "Yes"}]}
            for i in range(9)
        ],
        "chat",
        {"messages": "messages"},
    ),
    "questions and answers": (
        [{"instruction": f"{WORDS} {i}", "input": "", "output": "Yes"} for i in range(30)],
        "chat",
        {"prompt": "instruction", "answer": "output", "input": "input"},
    ),
    "texts": ([{"text": f"{WORDS} {i}"} for i in range(30)], "causal_lm", {"text": "text"}),
}


def init(*words: str) -> int:
    return cli._call(["init", *words])


@pytest.fixture(params=TABLES)
def table(request, work: Path) -> tuple[str, dict[str, str]]:
    rows, task, columns = TABLES[request.param]
    (work / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return task, columns


def test_the_columns_of_a_file_are_guessed_and_the_folder_can_be_run(table, work: Path, monkeypatch, capsys):
    task, columns = table
    assert init("mine.jsonl") == 0
    shown, told = capsys.readouterr()
    assert task in shown
    assert all(f"data.columns.{role}" in shown and column in shown for role, column in columns.items())
    assert "  run       blurr run experiments=mine" in told
    assert "cd mine" in told
    monkeypatch.chdir(work / "mine")
    cfg = composing.compose(["experiments=mine", "model.weights=scratch"])
    checks.check(cfg)
    assert {role: column for role, column in cfg.data.columns.items() if column} == columns
    assert cfg.task._target_ == composing.compose([f"task={task}"]).task._target_


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_can_be_planned_from_the_folder(ending, work: Path, monkeypatch):
    mark = {"csv": ",", "tsv": "\t"}[ending]
    (work / f"my reviews.{ending}").write_text(
        "\n".join([mark.join(("review", "stars")), *(mark.join((f"{WORDS} {i}", f"{i % 2}")) for i in range(40))])
    )
    init(f"my reviews.{ending}")
    monkeypatch.chdir(work / "my_reviews")
    words = ["experiments=my_reviews", "model.weights=scratch"]
    assert dict(plan(composing.compose(words), words)["rows"])["train"] == "32"


def test_without_a_file_it_has_generated_rows(work: Path, monkeypatch):
    assert init("--task", "summarization") == 0
    monkeypatch.chdir(work / "start")
    words = ["experiments=start", "model.weights=scratch"]
    cfg = composing.compose(words)
    checks.check(cfg)
    assert len((work / "start" / cfg.data.train).read_text().splitlines()) == 1000
    assert "blurr run experiments=start" in (work / "start" / "README.md").read_text()


def test_nothing_is_overwritten(work: Path):
    (work / "start").mkdir()
    (work / "start" / "mine.txt").touch()
    with pytest.raises(InputError, match=r"start is there already, and not empty\. Name another folder: --folder …"):
        init()
    assert init("--folder", "other") == 0


def test_what_cannot_be_guessed_is_asked_for(work: Path):
    (work / "mine.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(InputError, match=r"mine.csv: no column looks like the summary of .*\. It has a, b"):
        init("mine.csv", "--task", "summarization")
    with pytest.raises(InputError, match=r"--task summarisation: there is none\. Did you mean 'summarization'\?"):
        init("mine.csv", "--task", "summarisation")
    (work / "none.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"none.jsonl"):
        init("none.jsonl")
    assert not [each for each in work.iterdir() if each.is_dir()]


def test_an_experiment_of_blurr_is_not_hidden(work: Path, monkeypatch):
    shipped = next(iter(paths.options(paths.EXPERIMENTS)))
    (work / f"{shipped}.csv").write_text("text,label\n" + "a film,1\na plot,2\n" * 9)
    assert init(f"{shipped}.csv") == 0
    assert (work / shipped / "experiments" / f"{shipped}_own.yaml").is_file()


def test_what_it_writes_is_yaml_that_anybody_can_read(work: Path):
    (work / "übung: 1.csv").write_text("text,label\n" + "a film,1\na plot,2\n" * 9)
    assert init("übung: 1.csv", "--folder", "f") == 0
    written = yaml.safe_load(next((work / "f" / "experiments").iterdir()).read_text())
    assert written["data"]["train"] == "../übung: 1.csv"
