"""Read the keys of an option's YAML file: value, comment, and the type that `blurr.config` checks it by."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from blurr.config import checks, paths, signatures
from blurr.config.annotations import MOST_WORKERS, TYPES_OF_GENERATION
from blurr.config.values import describe


@dataclass(frozen=True)
class Knob:
    """A key of a config.

    Args:
        key: as it is written on a command line.
        value: its text in the YAML.
        comment: what stands behind it there.
        type: in words, with bounds; '' where blurr does not check it.
        source: the function or class that takes it.
    """

    key: str
    value: str
    comment: str
    type: str
    source: str


def knobs(group: str, file: Path) -> list[Knob]:
    """Return the keys that an option's file sets.

    Args:
        group: of the option, such as `optimizer`; '' for config.yaml.
        file: of the option.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    root = yaml.compose("\n".join(lines))
    if not isinstance(root, yaml.MappingNode):
        return []
    root.value = [(key, value) for key, value in root.value if key.value not in ("defaults", "hydra")]
    return list(_walk(root, _package(group, lines), _targets(group, file), lines))


def targets(group: str, file: Path) -> dict[str, str]:
    """Return the functions and classes that an option's file names, by their keys; '' is the file itself."""
    return {key: name for key, name in _targets(group, file).items() if key or name}


def chosen(group: str, file: Path) -> list[str]:
    """Return the options of other groups that an option's file takes, as on a command line."""
    inner = {folder.name for folder in paths.shipped_folder(group).iterdir() if folder.is_dir()} if group else set()
    found = []
    for each in _defaults(file):
        name, value = next(iter(each.items())) if isinstance(each, dict) else (each, None)
        name = name.removeprefix("override ").lstrip("/")
        if value is not None:
            said = f"[{','.join(value)}]" if isinstance(value, list) else value
            found.append(f"{group}/{name}={said}" if name in inner else f"{name}={said}")
    return found


def base(group: str, file: Path) -> str:
    """Return the option of the same group that an option's file builds on; '' where there is none."""
    names = [each.split("@")[0] for each in _defaults(file) if isinstance(each, str)]
    return next((name for name in names if name in paths.options(group)), "")


def _defaults(file: Path) -> list[Any]:
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults", [])


def _targets(group: str, file: Path) -> dict[str, str]:
    """Return the `_target_` of each part, by its dotted key, with those of the option that a file builds on."""
    below = base(group, file) if group else ""
    found = _targets(group, paths.options(group)[below]) if below else {}
    prefix = _package(group, file.read_text(encoding="utf-8").splitlines())
    return {**found, **dict(_named(yaml.safe_load(file.read_text(encoding="utf-8")), prefix))}


def _named(values: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(values, dict):
        if "_target_" in values:
            yield prefix, values["_target_"]
        for key, value in values.items():
            yield from _named(value, f"{prefix}.{key}".lstrip("."))


def _package(group: str, lines: list[str]) -> str:
    """Return the prefix of a file's keys: its `@package` line, else its group."""
    found = next((line.split()[-1] for line in lines if line.startswith("# @package")), group.replace("/", "."))
    return "" if found == "_global_" else found


def _walk(node: yaml.MappingNode, prefix: str, there: Mapping[str, str], lines: list[str]) -> Iterator[Knob]:
    target = there.get(prefix, "")
    for key, value in node.value:
        name = f"{prefix}.{key.value}".lstrip(".")
        if key.value.startswith("_"):
            continue
        if isinstance(value, yaml.MappingNode) and value.value and not _is_value(key.value):
            yield from _walk(value, name, there, lines)
            continue
        yield Knob(name, _shown(value, lines), _comment(key, value, lines), _type(name, key.value, target), target)


def _is_value(name: str) -> bool:
    """Is a mapping one value, rather than a part with keys of its own?"""
    return name in ("columns", "sampler")


def _shown(node: Any, lines: list[str]) -> str:
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:
        return "…"
    return lines[start.line][start.column : end.column].strip() or "null"


def _comment(key: Any, value: Any, lines: list[str]) -> str:
    line = lines[key.start_mark.line]
    end = value.end_mark.column if value.end_mark.line == key.start_mark.line else key.end_mark.column
    found = re.search(r"\s#\s+(.*)$", line[end:])
    return found[1].strip() if found else ""


def _type(name: str, last: str, target: str) -> str:
    """Return what a value must be, in words."""
    if name in checks.KEYS:
        return _readable(checks.KEYS[name])
    if name.startswith("task.generation."):
        return _readable(TYPES_OF_GENERATION[last]) if last in TYPES_OF_GENERATION else ""
    if target and signatures.is_ours(target):
        parameter = signatures.signature(target).parameters.get(last)
        if parameter and parameter.type is not signatures.UNKNOWN:
            return _readable(parameter.type)
        return _annotations(target).get(last, "")
    known = checks.LIBRARY.get(target, {})
    return _readable(known[last]) if last in known else ""


def _readable(expected: Any) -> str:
    """Return a type in words, with numbers that can be read, and the same on every machine."""
    said = re.sub(rf"at most {MOST_WORKERS}(?!,?\d)", "at most four for each core", describe(expected))
    return re.sub(r"\d{5,}(\.0)?", lambda found: f"{int(float(found[0])):,}", said)


@cache
def _annotations(target: str) -> dict[str, str]:
    """Return the annotations of a target's parameters as they are written, where they name types of libraries."""
    node = signatures.find(target).node
    functions = (
        [node] if isinstance(node, ast.FunctionDef) else [f for f in node.body if isinstance(f, ast.FunctionDef)]
    )
    found = {}
    for function in functions:
        for each in [*function.args.args, *function.args.kwonlyargs]:
            if each.annotation is not None:
                found.setdefault(each.arg, ast.unparse(each.annotation))
    return found
