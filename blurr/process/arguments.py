"""Read a command's words, and show its help: wrapped at words for the width of the terminal, with examples."""

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from blurr.errors import InputError, nearest

WIDEST = 100  # a longer line is hard to read
RUN, COMMAND = "run", "COMMAND"
NO_DEFAULT = (None, False, argparse.SUPPRESS)
Run = Callable[[argparse.Namespace], int]


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which users vouch for a package of their own."""
    said = "a package of yours whose functions and classes the file may name; it can then call all that they import"
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help=said)


def width() -> int:
    """Return how many columns a help text has: those of the terminal (or COLUMNS), 80 in a pipe, WIDEST at most."""
    return min(shutil.get_terminal_size().columns, WIDEST)


def wrapped(text: str, columns: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Return a text in lines of so many columns at most, broken between words alone.

    Args:
        text: of one paragraph.
        columns: the width.
        indent: what stands before the first line.
        hanging: what stands before the others; None for `indent`.
    """
    rest = indent if hanging is None else hanging
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, columns, initial_indent=indent, subsequent_indent=rest, **options)


def listing(rows: Iterable[tuple[str, str]], columns: int, wide: int) -> list[str]:
    """Return names, of `wide` letters at most, and texts about them in two columns."""
    indent = " " * (wide + 4)
    return [line for name, said in rows for line in wrapped(said, columns, f"  {name}".ljust(len(indent)), indent)]


class Formatter(argparse.HelpFormatter):
    """Formats help: indented lines stay as they are, other text is wrapped, and defaults are added."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=width() - 2)

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Add a line of usage with what has to be given; the flags below it are listed one by one."""
        needed = [each for each in actions if each.required or not each.option_strings]
        flags = [] if len(needed) == len(list(actions)) else ["[FLAGS]"]
        said = " ".join(["%(prog)s", *map(_in_usage, needed), *flags])
        super().add_usage(usage or said, actions, groups, prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = [[line] if line.startswith(" ") else wrapped(line, width, indent) or [""] for line in text.split("\n")]
        return "\n".join(line for part in lines for line in part)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(text, width)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if not text or "default" in text or action.default in (*NO_DEFAULT, []):
            return text
        return f"{text} (default: %(default)s)"


def _in_usage(action: argparse.Action) -> str:
    name = str(action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else action.dest))
    if action.option_strings:
        return f"{action.option_strings[0]} {name}"
    forms = {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} [{name} …]"}
    return forms.get(str(action.nargs), name)


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are InputErrors: one message, not a page of usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter, **options})

    @property
    def flags(self) -> list[str]:
        """Return the flags that it knows."""
        return list(self._option_string_actions)

    @property
    def actions(self) -> list[argparse.Action]:
        """Return what it reads: flags and arguments, in order."""
        return list(self._actions)

    def error(self, message: str) -> NoReturn:
        """Raise an InputError that names the mistake, the nearest word, and the help."""
        help_of = f"`{self.prog} --help` shows what there is."
        choice = re.match(r"argument (.+): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice:
            what, given, there = choice[1], choice[2], choice[3].replace("'", "").split(", ")
            wrong = f"there is no {'command' if what == COMMAND else what} '{given}'"
            raise InputError(f"{self.prog}: {wrong}.{_meant(given, there)} There are: {', '.join(there)}. {help_of}")
        said = message.removeprefix("argument ").replace("the following arguments are required", "missing")
        raise InputError(f"{self.prog}: {said}.{self._near(message)} {help_of}")

    def _near(self, message: str) -> str:
        unknown = re.match(r"unrecognized arguments: (-[^\s=]+)", message)
        return nearest(unknown[1], self.flags) if unknown else ""


def _meant(given: str, there: Sequence[str]) -> str:
    """Return the hint for a word that is not among those there are."""
    return f" Did you mean 'run {given}'?" if RUN in there and "=" in given else nearest(given, there)


class Commands:
    """The commands of a parser, listed in its help by parts.

    Args:
        parser: of which they are the commands.

    Attributes:
        parser: which has them.
        parsers: of each command, by its name.
    """

    def __init__(self, parser: Parser) -> None:
        self.parsers: dict[str, Parser] = {}
        self.parser, self._about = parser, parser.description or ""
        self._parts: dict[str, list[tuple[str, str]]] = {}
        options: dict[str, Any] = {"required": True, "metavar": COMMAND, "help": argparse.SUPPRESS}
        self._made = parser.add_subparsers(parser_class=Parser, prog=parser.prog, **options)
        parser.usage = f"{parser.prog} {COMMAND} …"

    def add(
        self,
        name: str,
        word: str,
        command: Run | None = None,
        *,
        about: str = "",
        examples: Sequence[str] = (),
        part: str = "commands",
    ) -> Parser:
        """Add a command.

        Args:
            name: of the command.
            word: what it does, in a line of the help of all.
            command: what it runs; None for one that has commands of its own.
            about: further sentences for its own help.
            examples: lines to type.
            part: of the help of all.
        """
        said = f"{word[0].upper()}{word[1:].rstrip(' …')}. {about}".strip()
        lines = ["examples:" if len(examples) > 1 else "example:", *(f"  {each}" for each in examples)]
        made: Parser = self._made.add_parser(name, description=said, epilog="\n".join(lines) if examples else None)
        made.set_defaults(command=command)
        self.parsers[name] = made
        self._parts.setdefault(part, []).append((name, word))
        self.parser.description = f"{self._about}\n{self._listing()}"
        return made

    def _listing(self) -> str:
        wide = max(len(name) for rows in self._parts.values() for name, _ in rows)
        lines = [
            line for part, rows in self._parts.items() for line in ["", f"{part}:", *listing(rows, width() - 2, wide)]
        ]
        return "\n".join(lines)
