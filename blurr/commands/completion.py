"""Complete a word for the shell: commands and flags, options and keys, files, runs and sweeps."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from blurr.config import explain, paths
from blurr.process.arguments import RUN, Parser

# Keys of files and folders, with the words that they take besides.
OF_FILES: dict[str, tuple[str, ...]] = {
    **{f"data.{split}": () for split in ("train", "valid", "test")},
    **{"model.name": (), "output_dir": (), "resume": ("auto", "last")},
}
OF_RUNS, OF_SWEEPS = frozenset({"RUN", "MODEL"}), frozenset({"SWEEP"})  # what arguments are called in help
IN_FILES = frozenset({"FILE", "FOLDER", *OF_RUNS})
MOST_RUNS = 20
ToHydra = Callable[[Sequence[str]], None]


def complete(words: Sequence[str], parsers: Mapping[str, Parser], to_hydra: ToHydra) -> None:
    """Answer a shell, which says in COMP_LINE what is typed.

    Args:
        words: of the call, `-sc query=<shell>` or `-sc install=<shell>`.
        parsers: of the commands.
        to_hydra: answers what concerns the config, and installs.
    """
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:] + ([""] if line.endswith(" ") else [])
    if not any(word.startswith("query=") for word in words):
        return to_hydra(words)
    found = None
    if len(typed) < 2:
        found = [name for name in parsers if name.startswith("".join(typed))]
    elif typed[0] in parsers:
        found = _found(typed, parsers[typed[0]])
    if found is None:
        overrides = typed[1:-1] if typed[0] == RUN else [word for word in typed[1:-1] if "=" in word]
        os.environ["COMP_LINE"] = " ".join([line.split()[0], *overrides, typed[-1]])
        return to_hydra(words)
    apart = "\n" if "query=fish" in words else " "  # names with blanks would be taken for several
    sys.stdout.write(apart.join(each for each in found if " " not in each) + "\n")
    return None


def _found(typed: Sequence[str], parser: Parser) -> list[str] | None:
    """Return what may stand in place of the last word; None for what only Hydra knows."""
    command, word = typed[0], typed[-1]
    key, is_set, value = word.partition("=")
    if is_set and key in OF_FILES:
        more = [other for other in OF_FILES[key] if other.startswith(value)]
        runs = list(_runs(value)) if key == "resume" else []
        return [f"{key}={each}" for each in [*more, *(runs or _files(value))]]
    if command == RUN and word.startswith("--"):
        return [flag for flag in explain.FLAGS if flag.startswith(word)]
    if command == RUN or (command == "plan" and not word.startswith("-")):
        return None
    if command == "ls":
        return [group for group in paths.groups() if group.startswith(word)]
    return _of_parser(typed[1:], parser)


def _of_parser(typed: Sequence[str], parser: Parser) -> list[str] | None:
    """Complete a command whose flags and arguments argparse knows."""
    *before, word = typed
    plain = [i for i, each in enumerate(before) if each[:1] != "-" and _flag_before(parser, before[:i]) is None]
    places = [each for each in parser.actions if not each.option_strings]
    if plain and places and isinstance(places[0].choices, Mapping):  # commands of its own
        part = places[0].choices.get(before[plain[0]])
        return _of_parser(typed[plain[0] + 1 :], part) if part else []
    if word.startswith("-"):
        return [flag for flag in parser.flags if flag.startswith(word) and flag.startswith("--")]
    action = _flag_before(parser, before)
    for i, place in enumerate(places):
        if action is None and (i == len(plain) or place.nargs in ("*", "+")):
            action = place
    if action is None or (action.metavar == "KEY=VALUE" and "=" in word):
        return None if action else []
    return _values(action, word)


def _flag_before(parser: Parser, before: Sequence[str]) -> argparse.Action | None:
    """Return the flag whose value the next word is, if any."""
    flags = [each for each in parser.actions if each.nargs != 0 and before and before[-1] in each.option_strings]
    return flags[0] if flags else None


def _values(action: argparse.Action, word: str) -> list[str]:
    if action.choices is not None:
        return [str(each) for each in action.choices if str(each).startswith(word)]
    found: list[str] = []
    if action.metavar in OF_SWEEPS:
        from blurr.sweep.resuming import folders

        found += [folder.name for folder in folders()]
    if action.metavar in OF_RUNS:
        found += _runs(word)
    if not found and action.metavar in IN_FILES:
        found += _files(word)
    return [each for each in found if each.startswith(word)]


def _runs(typed: str) -> Iterator[str]:
    """Yield the folders of the latest runs, those begun last first."""
    from blurr.runs.record import OUTPUTS, runs_in

    shown = [str(run) for run in reversed(runs_in(OUTPUTS))]
    yield from [run for run in shown if run.startswith(typed)][:MOST_RUNS]


def _files(typed: str) -> list[str]:
    """Return the files and folders that begin so; folders end in a slash, and hidden ones are shown when asked for."""
    folder, _, name = typed.rpartition("/")
    before = typed[: len(typed) - len(name)]
    try:
        there = sorted(os.scandir(Path(before or ".").expanduser()), key=lambda entry: entry.name)
    except OSError:  # there is no such folder
        return []
    return [
        f"{before}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in there
        if entry.name.startswith(name) and (name or not entry.name.startswith("."))
    ]
