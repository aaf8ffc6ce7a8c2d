"""Translate the names that earlier versions of blurr wrote into configs, model folders and exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_TEXT = (Path(__file__).parent / "moved.yaml").read_text(encoding="utf-8")
MOVED: Mapping[str, str] = yaml.load(_TEXT, Loader=yaml.CSafeLoader)  # noqa: S506  # a safe one, in C
"""Old name to today's: modules, and the functions and classes that left theirs."""


def current_name(name: str) -> str:
    """Return the dotted name under which something stands today.

    Args:
        name: of a module, a function, a class or a method, as any version of blurr had it; others stay as they are.
    """
    parts = name.split(".")
    for end in range(len(parts), 1, -1):
        known = ".".join(parts[:end])
        if known in MOVED:
            return ".".join([MOVED[known], *parts[end:]])
    return name


def with_current_names(config: Any) -> Any:
    """Return a copy of a config, as plain values, whose `_target_`s have the names of today."""
    if isinstance(config, dict):
        return {
            key: current_name(value) if key == "_target_" and isinstance(value, str) else with_current_names(value)
            for key, value in config.items()
        }
    return [with_current_names(each) for each in config] if isinstance(config, list) else config
