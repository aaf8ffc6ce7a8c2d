"""Show the rows that one run gets right and another wrong, in both directions: in the terminal, and on a page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from blurr.errors import writing
from blurr.report.compare import changed_predictions, config_differences, metric_differences, significance
from blurr.report.page import templates
from blurr.runs.checksums import write_whole
from blurr.runs.record import Record

IN_TERMINAL, ON_PAGE = 5, 100  # rows in each direction
CHARACTERS = 300  # of a text in the terminal
WHOLE = ("right", "exact_match")  # scores of a row that are 0 or 1
COLUMNS = 7  # of the table of changed predictions


def directions(first: Record, second: Record, changed: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows that the second run predicts worse, then those it predicts better, the clearest first.

    Args:
        first: the run to compare with.
        second: the run that is compared.
        changed: as `changed_predictions` returns it.
    """
    if not len(changed):
        return
    score = str(changed.columns[COLUMNS - 2])
    is_whole = score in WHOLE
    for better, worse, sign in ((first, second, -1), (second, first, 1)):
        rows = changed[changed[score] * sign > 0]
        ordered = rows.assign(by=rows[score] * sign, gap=rows["loss"] * -sign)
        ordered = ordered.sort_values(["by", "gap"], ascending=False).reset_index(drop=True)
        said = f"right in {better.name}, wrong in {worse.name}" if is_whole else f"better in {better.name} ({score})"
        yield f"{said}: {len(rows)} rows", ordered.drop(columns=["by", "gap", *([score] if is_whole else [])])


def tell_changes(first: Record, second: Record, out: Console) -> None:
    """Print rows that changed with their texts, labels and both predictions."""
    changed = changed_predictions(first, second)
    out.print(f"\npredicted differently: {len(changed)} rows", style="italic")
    for title, rows in directions(first, second, changed):
        out.print(f"\n{title}", style="bold")
        for _, row in rows[:IN_TERMINAL].iterrows():
            out.print(_described(row), "")
        if len(rows) > IN_TERMINAL:
            out.print(f"  … and {len(rows) - IN_TERMINAL} more, which --output compare.html shows")


def _described(row: "pd.Series[str]") -> Table:
    """Return a row of the data as lines: its text, what is true, and what each run predicts."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=24, style="dim", overflow="fold")
    grid.add_column(overflow="fold")
    for name in row.index:
        if name not in ("row", "loss"):
            label = f"row {row['row']}" if name == row.index[1] else "true" if name == "target" else str(name).strip()
            value = f"{row[name]:+.3g}" if isinstance(row[name], float) else str(row[name])
            cut = f"{value[:CHARACTERS]} …" if len(value) > CHARACTERS else value
            grid.add_row(label, Text(" ".join(cut.split())))
    return grid


def write_comparison(records: Sequence[Record], file: Path) -> None:
    """Write a page with all that is compared: config, metrics, significance, and the changed rows.

    Raises:
        InputError: the runs were not evaluated on the same rows.
        ResourceError: the page cannot be written.
    """
    first, *others = records
    tables = {"What differs": config_differences(records), "Scores": metric_differences(records)}
    for other in others:
        tables[f"{other.name} less {first.name}"] = significance(first, other)
        for title, rows in directions(first, other, changed_predictions(first, other)):
            cut = f", the first {ON_PAGE}" if len(rows) > ON_PAGE else ""
            tables[title + cut] = rows[:ON_PAGE]
    title = " · ".join(record.name for record in records)
    page = templates().get_template("compare.html.jinja").render(title=title, tables=tables)
    with writing(file):
        write_whole(file, page)
