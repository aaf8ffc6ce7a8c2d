"""Close a run on the terminal: its scores, and where to find everything."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from blurr.tracking.run import Run


def show_summary(
    run: Run, *, metrics: Mapping[str, float], facts: Mapping[str, str], notes: Mapping[str, str] | None = None
) -> None:
    """Print the closing table of a run.

    Args:
        run: the run; it may still be open.
        metrics: final scores.
        notes: what is to be said beside a score, such as the class that an F1 is of.
        facts: what else to say, label to text, such as the weights that were used.
    """
    console = Console(highlight=False, emoji=False, markup=False)
    console.print()
    console.print(table_of_scores(metrics, notes or {}))
    show_place(run, facts)


def show_place(run: Run, facts: Mapping[str, str]) -> None:
    """Print where everything is that a run or sweep leaves behind, after what else there is to say of it."""
    console = Console(highlight=False, emoji=False, markup=False)
    lines = {**facts, "outputs": _short(run.folder)}
    if run.id:
        lines["MLflow run"] = f"{run.name} ({run.id})"
    _print_lines(console, lines)
    _print_way_to_mlflow(console, run)


def table_of_scores(metrics: Mapping[str, float], notes: Mapping[str, str]) -> Table:
    """Make a table of names and values, with what is to be said beside them."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    if notes:
        table.add_column(overflow="fold")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4g}", *([notes.get(name, "")] if notes else []))
    return table


def _print_lines(console: Console, lines: Mapping[str, str]) -> None:
    """Print labels and texts in two columns; a long text is not cut or broken, so that it can be copied."""
    width = max(map(len, lines)) + 2
    console.print()
    for label, text in lines.items():
        console.print(Text.assemble((label.ljust(width), "bold"), text), soft_wrap=True)


def _print_way_to_mlflow(console: Console, run: Run) -> None:
    if run.ui_command:
        console.print("\nTo look at it in MLflow, run")
        console.print(Text(f"  {run.ui_command}", style="cyan"), soft_wrap=True)
        console.print("and open")
    elif run.url:
        console.print("\nTo look at it in MLflow, open")
    if run.url:
        console.print(Text(f"  {run.url}", style="cyan"), soft_wrap=True)


def _short(path: Path) -> str:
    """Write a path relative to the launch directory where it lies in it."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)
