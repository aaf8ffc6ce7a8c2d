"""Print what the commands of `blurr` answer, in a terminal as well as in a pipe."""

from collections.abc import Sequence

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
