"""Print what commands answer, say what a process is doing, in a terminal and in a pipe, and silence other libraries."""

import atexit
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from blurr.errors import visible

log = logging.getLogger(__name__)


class PlainConsole(Console):
    """A console that takes no text for markup, and shows control characters instead of sending them."""

    def __init__(self, width: int | None = None, **options: Any) -> None:
        # a notebook would get each line as a page of its own
        given = {"force_jupyter": False, **options}
        super().__init__(highlight=False, emoji=False, markup=False, width=width, **given)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown."""
        return super().render_str(visible(text), **options)


def terminal() -> Console:
    """Return a console that writes text unchanged; in a pipe nothing is cut or wrapped to 80 columns.

    The moving line of `phase` makes room for what is written there.
    """
    rest()
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=10_000)


def show(title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Print rows as a table: a mark, a name, and a text about it."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    for mark, name, said in rows:
        table.add_row(Text(name, style="bold"), Text(said), Text(mark, style="yellow"))
    terminal().print(table)


# -- what the process is doing


class _BarOfKnown(BarColumn):
    """A bar for what has a known end, and nothing for the rest."""

    def render(self, task: Any) -> Any:
        return Text() if task.total is None else super().render(task)


class _CountOfKnown(MofNCompleteColumn):
    """Steps done and steps in all of what has a known end, and nothing for the rest."""

    def render(self, task: Any) -> Text:
        return Text() if task.total is None else super().render(task)


@dataclass
class _Moving:
    """The moving line of this process: which process announced it, and the line where it shows."""

    process: int | None = None
    line: Progress | None = None
    task: TaskID = TaskID(0)


_moving = _Moving()


def announce(said: str, doing: str) -> None:
    """Begin to say in the terminal what this process does; in a pipe nothing is shown, and phases are logged alone.

    Args:
        said: a line that stays; '' for a command whose answer says enough.
        doing: the first phase.
    """
    _moving.process = os.getpid()  # a process that is forked from this one does not draw on its terminal
    atexit.register(rest)
    if _is_drawn():
        if said:
            PlainConsole(stderr=True).print(said)
        _start(doing)


def take_over() -> None:
    """Draw on the terminal in place of the process that this one was forked from, where that one has drawn."""
    if _moving.process is not None:
        _moving.process = os.getpid()


def phase(doing: str) -> None:
    """Say what this process does from now on: a moving line in the terminal, and a line of the log."""
    move(doing)
    note(doing)


def move(doing: str) -> None:
    """Say what this process does from now on in the terminal alone."""
    rest()
    if _is_drawn():
        _start(doing)


def note(said: str) -> None:
    """Log what the terminal shows anyway."""
    log.info("%s", said)


def advance(done: int, total: int) -> None:
    """Say how many steps of a phase are done; where no line moves, nothing happens."""
    if _moving.line is not None:
        _moving.line.update(_moving.task, completed=done, total=total)


def rest() -> None:
    """Remove the moving line until the next phase: somebody else draws on the terminal, or this process is forked."""
    line, _moving.line = _moving.line, None
    if line is not None:
        line.stop()


def _is_drawn() -> bool:
    """May this process draw a moving line?"""
    if _moving.process != os.getpid() or not sys.stderr.isatty():
        return False
    return not PlainConsole(stderr=True).is_dumb_terminal


def _start(doing: str) -> None:
    _moving.line = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        _BarOfKnown(bar_width=30),
        _CountOfKnown(),
        TimeElapsedColumn(),
        console=PlainConsole(stderr=True),
        transient=True,
        refresh_per_second=5,
        redirect_stdout=False,  # may be a pipe
    )
    _moving.task = _moving.line.add_task(visible(doing), total=None)
    _moving.line.start()


class NotMoving(logging.Filter):
    """Drops the records of phases that the moving line shows."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name != log.name or _moving.line is None


class CurrentStderr:
    """Standard error as it is at each write: while a line moves, rich puts what is written there above it."""

    def write(self, text: str) -> int:
        """Write a text."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        sys.stderr.flush()


stderr = CurrentStderr()  # conf/config.yaml has the log written there


# -- other libraries


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
