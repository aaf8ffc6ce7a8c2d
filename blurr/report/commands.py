"""`blurr report`, `blurr compare` and `blurr leaderboard`: look at finished runs."""

import argparse
from pathlib import Path
from typing import Any

from blurr.config.store import WHERE
from blurr.process.arguments import Commands, Parser
from blurr.process.next_steps import command, show_next

PART = "to look at runs"
RUN = "its folder, its identity, or the id of its MLflow run"


def add_reviewing(commands: Commands) -> None:
    """Add the commands that look at runs to those of `blurr`."""
    report = commands.add(
        "report",
        "write the report of a run: report.html and plots/, in its folder",
        _report,
        about="Runs do so at their end; trials of a sweep, and runs with report=false, do not.",
        examples=["blurr report outputs/mine"],
        part=PART,
    )
    report.add_argument("run", metavar="RUN", help=RUN)
    _add_uri(report)
    compare = commands.add(
        "compare",
        "compare runs: config, metrics, predictions, significance",
        _compare,
        examples=[
            "blurr compare outputs/mine outputs/other",
            "blurr compare outputs/mine outputs/other --output compare.html",
        ],
        part=PART,
    )
    compare.add_argument("runs", metavar="RUN", nargs="+", help=f"two or more ({RUN}); the others against the first")
    compare.add_argument(
        "--output", metavar="FILE", type=Path, help="write a page there, with more of the changed rows"
    )
    _add_uri(compare)
    _add_leaderboard(commands)


def _add_leaderboard(commands: Commands) -> None:
    board = commands.add(
        "leaderboard",
        "list finished runs, the best first",
        _leaderboard,
        examples=["blurr leaderboard", "blurr leaderboard --experiment blurr --by valid/f1"],
        part=PART,
    )
    board.add_argument("folder", nargs="?", default="outputs", help="where to search for runs")
    board.add_argument("--experiment", metavar="NAME", help="list the runs of this MLflow experiment instead")
    _add_uri(board)
    board.add_argument("--by", metavar="METRIC", help="the metric to sort by (default: the objective)")
    said = "which way that metric is better (default: what the runs have recorded)"
    board.add_argument("--direction", choices=("minimize", "maximize"), help=said)


def _add_uri(parser: Parser) -> None:
    parser.add_argument("--uri", help=f"the MLflow store ({WHERE})")


def _report(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.report.page import write_report
    from blurr.runs.record import Record, check_links
    from blurr.tracking.finding import find_run

    record = Record(find_run(arguments.run, uri=arguments.uri))
    check_links(record.folder)
    page, plots = write_report(record)
    out = terminal()
    out.print(f"of the run {record.name}", soft_wrap=True)
    out.print(str(page), soft_wrap=True)
    out.print(f"{plots}/*.png", soft_wrap=True)
    show_next({"all runs": command("leaderboard"), "serve": command("serve", arguments.run)})
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.report.changes import tell_changes, write_comparison
    from blurr.report.compare import config_differences, metric_differences, significance
    from blurr.runs.record import Record
    from blurr.tracking.finding import find_run

    first, *others = records = [Record(find_run(run, uri=arguments.uri)) for run in arguments.runs]
    for record in records:
        terminal().print(f"{record.name}: {record.folder}", soft_wrap=True)
    _show("config", config_differences(records))
    _show("metrics", metric_differences(records))
    for other in others:
        _show(f"{other.name} less {first.name}", significance(first, other))
        tell_changes(first, other, terminal())
    if arguments.output is not None:
        write_comparison(records, arguments.output)
        terminal().print(f"\noutputs  {arguments.output}", soft_wrap=True)
    show_next({"report": command("report", arguments.runs[-1]), "all runs": command("leaderboard")})
    return 0


def _leaderboard(arguments: argparse.Namespace) -> int:
    from blurr.report.leaderboard import leaderboard, leaderboard_of_experiment

    sorting = {"by": arguments.by, "direction": arguments.direction}
    if arguments.experiment is None:
        board = leaderboard(Path(arguments.folder), **sorting)
        runs = [Path(arguments.folder, run) for run in board["run"]]
    else:
        board = leaderboard_of_experiment(arguments.experiment, uri=arguments.uri, **sorting)
        runs = list(board["run"])
    _show_board(board)
    others = {"compare": command("compare", *runs[:2])} if len(runs) > 1 else {}
    show_next({**others, "serve the best": command("serve", runs[0])})
    return 0


def _show_board(frame: Any) -> None:
    """Print a leaderboard; where it is wider than the terminal, the runs stand below it, and metrics are left out."""
    from blurr.process.terminal import terminal

    out, names, cells = terminal(), *_cells(frame)
    runs = [row.pop(0) for row in cells]
    whole = _board(["run", *names[1:]], [[run, *row] for run, row in zip(runs, cells, strict=True)])
    if _measured(whole, out).maximum <= out.width:
        out.print(whole)
        return
    numbers, names = [str(i) for i in range(1, len(runs) + 1)], ["", *names[1:]]
    rows = [[number, *row] for number, row in zip(numbers, cells, strict=True)]
    shown = len(names)
    least = next((i for i, name in enumerate(names) if "/" in name), len(names) - 1) + 1  # with the first metric
    while shown > least and _measured(_board(names[:shown], [row[:shown] for row in rows]), out).minimum > out.width:
        shown -= 1
    out.print(_board(names[:shown], [row[:shown] for row in rows]))
    if names[shown:]:
        out.print(f"\nin a wider terminal: {', '.join(names[shown:])}")
    out.print()
    for number, run in zip(numbers, runs, strict=True):
        out.print(f"{number}  {run}", soft_wrap=True)


def _cells(frame: Any) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a leaderboard as text, each deviation behind its mean."""
    from blurr.report.repetitions import DEVIATION

    names = [name for name in frame if not name.endswith(DEVIATION)]
    rows = []
    for row in frame.to_dict("records"):
        spreads = {name: row.get(name + DEVIATION) for name in names}
        texts = {name: f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names}
        known = {name for name, spread in spreads.items() if spread is not None and spread == spread}
        rows.append([f"{texts[name]} ± {spreads[name]:.2g}" if name in known else texts[name] for name in names])
    return names, rows


def _board(names: list[str], rows: list[list[str]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(names):
        whole = name == "what" or "/" in name  # names and scores do not break, texts between words
        parts = [part for row in rows for part in ([row[i]] if whole else row[i].split())]
        table.add_column(name, overflow="fold", min_width=max(map(len, [*parts, name])), no_wrap=whole)
    for row in rows:
        table.add_row(*row)
    return table


def _measured(table: Any, out: Any) -> Any:
    """Return the widths of a table with its texts on one line each (maximum), and broken between words (minimum)."""
    from rich.measure import Measurement

    return Measurement.get(out, out.options.update(width=10_000), table)


def _show(title: str, frame: Any) -> None:
    from rich.table import Table

    from blurr.process.terminal import terminal

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in frame:
        table.add_column(str(name).strip(), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value)[:80] for value in row))
    terminal().print(table if len(frame) else f"{title}: no difference")
