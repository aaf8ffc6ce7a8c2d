"""Print the end of a run: its scores, and where to find everything."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from blurr.config import paths
from blurr.process.arguments import wrapped
from blurr.process.next_steps import show_next, try_it
from blurr.process.terminal import terminal
from blurr.runs.folder import REPORT
from blurr.runs.record import interval_text
from blurr.tracking.run import Run
from blurr.tracking.sink import EMPTY, PARENT


def show_summary(
    run: Run,
    *,
    metrics: Mapping[str, float],
    facts: Mapping[str, str],
    notes: Mapping[str, str] = EMPTY,
    intervals: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    roles: Sequence[str] = (),
    files: bool = False,
) -> None:
    """Print the closing table of a run.

    Args:
        run: the run; it may still be open.
        metrics: final scores.
        facts: further lines, label to text, such as the weights that were used.
        notes: remarks on scores by name, such as the class that an F1 is for.
        intervals: the ends of the 95 % intervals of scores, by name.
        roles: what the model reads, for the command that tries it.
        files: whether it reads files, such as pictures.
    """
    console = terminal()
    console.print()
    console.print(table_of_scores(metrics, notes, intervals))
    page = run.folder / REPORT
    lines = {**facts, "report": paths.from_here(page)} if page.is_file() else facts
    trial = PARENT in run.tags  # whose sweep says what is next
    show_place(run, lines, {} if trial else try_it(paths.from_here(run.folder), roles, files=files))


def show_place(run: Run, facts: Mapping[str, str], steps: Mapping[str, str]) -> None:
    """Print further lines, where the outputs of a run or sweep are, and how to go on."""
    console = terminal()
    lines = {**facts, "outputs": paths.from_here(run.folder)}
    if run.id:
        lines["MLflow run"] = f"{run.name} ({run.id})"
    _print_lines(console, lines)
    if run.url:
        when = f", while `{run.ui_command}` runs" if run.ui_command else ""
        console.print(Text.assemble((f"\nin MLflow{when}\n", "bold"), (f"  {run.url}", "cyan")), soft_wrap=True)
    show_next({**steps, "MLflow": run.ui_command} if run.ui_command and steps else steps)


def table_of_scores(
    metrics: Mapping[str, float], notes: Mapping[str, str], intervals: Mapping[str, tuple[float, float]]
) -> Table:
    """Return a table of names, values, 95 % intervals and remarks."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    if intervals:
        table.add_column(style="dim")
    if notes:
        table.add_column(overflow="fold")
    for name, value in metrics.items():
        ends = [interval_text(intervals.get(name))] if intervals else []
        table.add_row(name, f"{value:.4g}", *ends, *([notes.get(name, "")] if notes else []))
    return table


def _print_lines(console: Console, lines: Mapping[str, str]) -> None:
    """Print labels and texts in two columns; texts break between words alone, so that paths can be copied."""
    width = max(map(len, lines)) + 2
    console.print()
    for label, text in lines.items():
        for head, line in zip_longest([label], wrapped(text, console.width - width) or [""], fillvalue=""):
            console.print(Text.assemble((head.ljust(width), "bold"), line), soft_wrap=True)
