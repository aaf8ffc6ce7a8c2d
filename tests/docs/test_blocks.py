"""Every block of code on every page is what it looks like; `test_running.py` runs them."""

import importlib.util
import itertools
import json

import pytest
import yaml
from code_blocks import LANGUAGES, ROOT, blocks, words_of

from blurr import cli
from blurr.config import checks, composing
from blurr.sweep.space import is_own, parse
from docs.pages.blocks import Block

BLOCKS = list(blocks())
LINES = {line: each.page for each in BLOCKS if each.language == "bash" for line in each.commands}
# What names something that the page before it has made; test_running.py runs it.
OWN = (
    "mape]",
    "experiments=mine",
    "experiments=reviews",
    "data=mine",
    "errors]",
    "task=ordering",
    "my_rows.",
    "stop_at",
)
RUNS = {
    line: page
    for line, page in LINES.items()
    if line.startswith(("blurr run ", "blurr plan ", "python -m blurr.run ")) and not any(word in line for word in OWN)
}
OTHERS = {
    line: page
    for line, page in LINES.items()
    if line.startswith("blurr ") and not line.startswith(("blurr run", "blurr plan "))
}
# Programs that pages call besides, and that are there, or are installed by what the page says.
PROGRAMS = {
    *("(printf", "accelerate", "cat", "cd", "curl", "export", "head", "hf", "mlflow", "pip", "pip-audit", "python"),
    *("schemathesis", "srun", "torchrun", "uv"),
}


def of(language: str) -> list[Block]:
    return [each for each in BLOCKS if each.language == language]


def test_every_block_says_its_language():
    assert {(each.page, each.language) for each in BLOCKS if each.language not in LANGUAGES} == set()


@pytest.mark.parametrize("line", RUNS, ids=lambda line: f"{RUNS[line]}: {line}"[:90])
def test_a_run_composes_and_passes_the_checks(line: str, work):
    words = [word for word in words_of(line) if "=" in word]
    space = parse(words, None)
    for point in itertools.islice(space.samples(), 1):
        checks.check(composing.compose([*space.overrides(point), *filter(is_own, words)]))


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: f"{OTHERS[line]}: {line}"[:90])
def test_a_command_has_flags_that_exist(line: str):
    words = words_of(line.split("|")[0].split(" > ")[0].split(" &")[0])[1:]
    if words[0] == "-sc":
        return
    there = cli.commands()
    _, others = there.parser.parse_known_args(words)
    assert [word for word in others if word.startswith("-")] == []


def test_other_programs_are_known_and_modules_are_there():
    firsts = {line.split()[0] for line in LINES if line[0] not in " '\"" and "=" not in line.split()[0]}
    assert firsts - PROGRAMS - {"blurr"} == set()
    modules = {line.split()[2] for line in LINES if line.startswith("python -m ")}
    assert {name for name in modules if importlib.util.find_spec(name) is None} == set()


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: f"{block.page}: {block.code[:40]}")
def test_yaml_can_be_read(block: Block):
    assert yaml.safe_load(block.code)


@pytest.mark.parametrize("block", of("json"), ids=lambda block: block.page)
def test_json_can_be_read(block: Block):
    assert json.loads(block.code)


@pytest.mark.parametrize("block", of("python"), ids=lambda block: f"{block.page}: {block.code[:40]}")
def test_python_compiles(block: Block):
    compile(block.code, block.page, "exec")


def test_a_block_that_is_not_run_says_why():
    reasons = {each.reason for each in BLOCKS if not each.is_run}
    assert all(any(word in each for word in ("network", "GPU", "index", "Ctrl-C", "hours")) for each in reasons)


def test_the_readme_is_short_and_has_its_first_command_in_its_first_screen():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert "blurr run task=summarization model=bart" in lines[:24]
