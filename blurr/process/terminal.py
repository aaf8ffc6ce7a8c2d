"""Print what commands answer, in a terminal and in a pipe, and silence other libraries."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from blurr.errors import visible


class PlainConsole(Console):
    """A console that takes no text for markup, and shows control characters instead of sending them."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(highlight=False, emoji=False, markup=False, width=width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown."""
        return super().render_str(visible(text), **options)


def terminal() -> Console:
    """Return a console that writes text unchanged; in a pipe nothing is cut or wrapped to 80 columns."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=10_000)


def show(title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print rows as a table: a mark, a name, and a text about it."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    for mark, name, said in rows:
        table.add_row(Text(name, style="bold"), Text(said), Text(mark, style="yellow"))
    terminal().print(table)


@contextmanager
def quiet(*names: str | None, level: int = logging.WARNING) -> Iterator[None]:
    """Silence loggers below a level for the duration of a `with` block.

    Args:
        names: of the loggers; `None` is the root.
        level: the lowest that is still logged.
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
