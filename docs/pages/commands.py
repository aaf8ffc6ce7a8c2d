"""Make the page of the command line: the help of every command, as a terminal shows it."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from blurr import cli
from blurr.commands import help_of_run
from blurr.process.arguments import RUN
from docs.pages.markdown import block, page

PAGE = "reference/commands.md"
COLUMNS = "88"


def make() -> dict[str, str]:
    """Return the page by its path in the site."""
    with _wide(COLUMNS):
        there = cli.commands()
        parts = ["## blurr", block(there.parser.format_help())]
        for name, parser in there.parsers.items():
            parts += [f"## blurr {name}", block(_of_run() if name == RUN else parser.format_help())]
            parts += [part for inner, below in _below(parser) for part in (f"### {inner}", block(below.format_help()))]
    intro = (
        "`blurr --help` lists the commands, `blurr COMMAND --help` prints what stands here. Results go to stdout; "
        "progress, warnings, and the next command to type go to stderr. [Exit codes](exit_codes.md) are the same for "
        "all commands."
    )
    return {PAGE: page("Commands", intro, *parts)}


def _below(parser: cli.Parser) -> Iterator[tuple[str, cli.Parser]]:
    """Yield the commands of a command, such as `blurr sweep ls`."""
    for action in parser.actions:
        for below in (action.choices or {}).values() if isinstance(action.choices, dict) else ():
            yield below.prog, below


def _of_run() -> str:
    said = io.StringIO()
    with redirect_stdout(said):
        help_of_run.show()
    return said.getvalue()


@contextmanager
def _wide(columns: str) -> Iterator[None]:
    """Format help for so many columns, whatever the terminal."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = columns
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
