"""Print what commands answer, in a terminal and in a pipe, and silence other libraries."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text


def terminal() -> Console:
    """Give a console that writes text as it is; in a pipe nothing is cut or wrapped to 80 columns."""
    console = Console(highlight=False, emoji=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, markup=False, width=10_000)


def show(title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print rows as a table: a mark, a name, and what is to be said of it."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    for mark, name, said in rows:
        table.add_row(Text(name, style="bold"), Text(said), Text(mark, style="yellow"))
    terminal().print(table)


@contextmanager
def quiet(*names: str | None, level: int = logging.WARNING) -> Iterator[None]:
    """Let loggers say nothing below a level for the duration of a `with` block.

    Args:
        names: of the loggers; `None` is the root.
        level: from which on they still speak.
    """
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
