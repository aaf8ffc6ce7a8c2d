"""Every benchmark that a page names takes the words of its command, and every table of figures has a command."""

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from code_blocks import ROOT, blocks, texts

from docs.pages.blocks import without_code

INLINE = re.compile(r"`(python -m benchmarks\.[^`]+)`")
PLACEHOLDERS = {"N": "2"}  # of numbers
FIGURE = re.compile(r"[*~≤<>±]*\d[\d.,]*[^|\n]{0,14}")
COMMAND = re.compile(
    r"python -m benchmarks\.|`blurr (run|plan|evaluate|serve|predict) |the same command|```bash", re.IGNORECASE
)
SMALL = [  # what takes seconds
    "benchmarks.cache 200",
    "benchmarks.chaos --kills 1 --only causal_lm",
    "benchmarks.families --only bert --task sequence_classification --workers 1",
    "benchmarks.faulty_server --runs 1 --rows 200",
    "benchmarks.generation --rows 8",
    "benchmarks.packing --rows 60",
    "benchmarks.reading",
    "benchmarks.rows --folder . --rows 1000",
]


SET = {"docs/serving.md: Limits"}  # tables of what is set, not measured


def figures(table: str) -> list[str]:
    """Return the figures of a table, without its first column, which says what they are of."""
    cells = [cell.strip() for line in table.splitlines() for cell in line.strip("| ").split("|")[1:]]
    return [cell for cell in cells if FIGURE.fullmatch(cell)]


def called() -> set[tuple[str, ...]]:
    """Return the benchmarks that pages call, each with its words."""
    lines = {line for block in blocks() for line in block.commands if line.startswith("python -m benchmarks.")}
    lines |= {" ".join(found.split()) for text in texts().values() for found in INLINE.findall(without_code(text))}
    return {tuple(shlex.split(line, comments=True)[2:]) for line in lines}


CALLED = sorted(called())


class Parsed(Exception):  # noqa: N818  # what has happened
    """A parser has read its words."""


def source_of(module: str) -> str:
    return (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def reads_words(module: str) -> bool:
    """Does a benchmark read its words by a parser, its own or that of the families?"""
    return bool(re.search(r"\b(parse_args|print_table)\(", source_of(module)))


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "benchmarks").glob("*.py")))
def test_a_benchmark_imports_what_is_there(name: str):
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("words", [each for each in CALLED if reads_words(each[0])], ids=" ".join)
def test_a_benchmark_takes_the_words_that_a_page_calls_it_with(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    parse = argparse.ArgumentParser.parse_args

    def parsed(self: argparse.ArgumentParser, *given: Any) -> None:
        parse(self, *given)
        raise Parsed

    module, *rest = words
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", [module, *(PLACEHOLDERS.get(word, word) for word in rest)])
    with pytest.raises(Parsed):
        importlib.import_module(module).main()


@pytest.mark.parametrize("words", [each for each in CALLED if not reads_words(each[0])], ids=" ".join)
def test_a_benchmark_without_flags_has_the_parts_that_a_page_names(words: tuple[str, ...]):
    assert [word for word in words[1:] if f"\ndef {word}(" not in source_of(words[0])] == []


def test_every_table_of_figures_stands_beside_its_command():
    lacking = []
    for page, text in texts().items():
        heads = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
        for head, body in zip(heads[1::2], heads[2::2], strict=True):
            tables = re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE)
            if any(len(figures(table)) >= 3 for table in tables) and not COMMAND.search(body):
                lacking.append(f"{page}: {head}")
    assert sorted({*lacking} - SET) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", SMALL)
def test_a_benchmark_runs(words: str, tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"\d", done.stdout)
