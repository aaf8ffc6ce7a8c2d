"""Say at once, from the words of a command line alone, what it is about to do: composing and importing take seconds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from blurr.config import paths
from blurr.config.explain import unknown_flags
from blurr.process import launched, signals, terminal
from blurr.process.arguments import RUN
from blurr.runs.secrets import mask_text

SLOW = ("plan", "predict", "evaluate", "serve", "export", "push", "reproduce", "report", "compare", "leaderboard", "ui")
# Hydra's questions, which are answered on stdout within a second, and argparse's
ANSWERED = ("-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")
GROUPS = (paths.EXPERIMENTS, "data", "task", "model")  # the first that says which option of a group it is wins


def announce(words: Sequence[str]) -> None:
    """Put the first line of a command on the terminal.

    Args:
        words: the command line, the command first.
    """
    command, *rest = [*words, ""][: len(words) or 1]
    if not launched.is_first():
        return
    if any(word.split("=")[0] in ANSWERED for word in rest):
        return
    if command == RUN and unknown_flags(rest):
        return  # it will be refused
    if command == RUN:
        signals.end_at_once("No step was taken: there is nothing to go on with.")
        terminal.announce(mask_text(line_of(rest)), "Composing the config")
    elif command in SLOW:
        named = next((word for word in rest if not word.startswith("-")), "")
        terminal.announce("", mask_text(f"blurr {command} {named}: loading"))


def line_of(words: Sequence[str], folder: str | None = None) -> str:
    """Return what `blurr run` with these overrides is about to do.

    Args:
        words: the overrides.
        folder: of the run, where it is known already.
    """
    given = dict(_pairs(words))
    for key, what in (("resume", "the run"), ("sweep.resume", "the sweep")):
        if folder is None and given.get(key, "null") != "null":
            return f"Going on with {what} {given[key]}"
    chosen = choices(given)
    model = given.get("model.name", chosen.get("model"))
    data = given.get("data.train", given.get("data.name", chosen.get("data")))
    if {"-m", "--multirun"} & set(words):
        where = given.get("output_dir", f"multirun/{given.get('sweep.name', '…')}")
        axes = " ".join(f"{key}={value}" for key, value in given.items() if "," in value or "(" in value)
        return f"Sweeping {axes or 'one trial'}: {chosen.get('task')} on {data}, in {where}"
    usual = f"outputs/{chosen.get('task')}-{chosen.get('model')}/…"
    where = folder or given.get("output_dir", usual)
    return f"Training {model} for {chosen.get('task')} on {data}, in {where}"


def choices(given: Mapping[str, str]) -> dict[str, str]:
    """Return the option of each of `GROUPS` that Hydra would choose.

    Args:
        given: the overrides, by their keys; those of a group win over what options override.
    """
    chosen = {group: given[group] for group in GROUPS if group in given}
    usual = dict(_overridden(_defaults(paths.config_file())))
    for group in GROUPS:
        for key, option in _of_option(group, chosen.setdefault(group, usual.get(group, "")), deep=8):
            chosen.setdefault(key, option)
    return chosen


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        key, found, value = word.partition("=")
        if found:
            yield key.lstrip("+"), value.strip("'\"")


def _of_option(group: str, option: str, *, deep: int) -> Iterator[tuple[str, str]]:
    """Yield which options of other groups an option asks for; what it includes asks after itself."""
    file = paths.options(group).get(option)
    if file is None or not deep:
        return
    entries = _defaults(file)
    yield from _overridden(entries)
    for entry in reversed(entries):
        if isinstance(entry, str):
            yield from _of_option(group, entry.split("@")[0], deep=deep - 1)


def _overridden(entries: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        for key, option in entry.items() if isinstance(entry, dict) else ():
            yield str(key).removeprefix("override ").lstrip("/"), str(option)


def _defaults(file: Path) -> list[Any]:
    """Return the defaults of an option; none of one that cannot be read, which composing answers."""
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        option = yaml.safe_load(file.read_text(encoding="utf-8"))
        defaults = option.get("defaults") if isinstance(option, dict) else None
        return defaults if isinstance(defaults, list) else []
    return []
