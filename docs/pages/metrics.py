"""Make the page of metrics: what each computes, what it is averaged over, which way it is better."""

import ast
from pathlib import Path
from typing import Any

import yaml

from blurr.config import paths, signatures
from docs.pages.markdown import code, page, table, text

PAGE = "reference/metrics.md"
FORMULAS: dict[str, dict[str, str]] = yaml.safe_load((Path(__file__).parent / "formulas.yaml").read_text("utf-8"))
BETTER = {"maximize": "high", "minimize": "low"}


def make() -> dict[str, str]:
    """Return the page by its path in the site."""
    files = paths.options("metrics")
    rows = [_row(name, _targets(file)) for name, file in files.items()]
    heads = ("option", "compares", "formula", "averaged over", "better", "by", "default of")
    details = [_details(name, _targets(file)) for name, file in files.items()]
    intro = (
        "`metrics=[accuracy,matthews]` chooses metrics; a task chooses its own unless the command line does. Their "
        "settings are [options](options/metrics.md), and [Scores](../scores.md) says what is compared, how intervals "
        "are computed, and when a result is called worthless. `tests/oracles/` computes every metric again by another "
        "library or by its definition."
    )
    return {PAGE: page("Metrics", intro, table(heads, rows), "## One by one", *details)}


def _targets(file: Path) -> dict[str, str]:
    return {name: part["_target_"] for name, part in yaml.safe_load(file.read_text(encoding="utf-8")).items()}


def _row(name: str, named: dict[str, str]) -> list[str]:
    target = next(iter(named.values()))
    said = FORMULAS[name]
    reads = signatures.class_attribute(target, "reads") or "rows"
    better = BETTER[signatures.class_attribute(target, "direction") or ""]
    option = f"[`{name}`](#{name.lower()})"
    return [option, reads, text(said["formula"]), text(said["average"]), better, said["library"], _used_by(name)]


def _used_by(name: str) -> str:
    """Return the tasks that choose a metric by themselves."""
    found = [task for task, file in paths.options("task").items() if name in _chosen(file)]
    return ", ".join(f"[{task.replace('_', ' ')}](../tasks/{task}.md)" for task in found)


def _chosen(file: Path) -> list[str]:
    defaults: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["defaults"]
    return [name for each in defaults for name in each.get("override /metrics") or []]


def _details(name: str, named: dict[str, str]) -> str:
    target = next(iter(named.values()))
    words = ast.get_docstring(signatures.find(target).node) or ""
    what = words.split("\n\nArgs:")[0].split("\n\nRaises:")[0]
    keys = ", ".join(code(f"valid/{each}") for each in named)
    parts = [f"### {name}", text(paths.headline(paths.options("metrics")[name])), _prose(what)]
    return "\n\n".join([*parts, f"Recorded as {keys}, computed by {code(target)}."])


def _prose(words: str) -> str:
    return "\n\n".join(text(paragraph) for paragraph in words.split("\n\n"))
