"""`blurr report`, `blurr compare` and `blurr leaderboard`: look at finished runs."""

import argparse
from pathlib import Path
from typing import Any

from blurr.config.store import WHERE
from blurr.runs.record import Record, check_links
from blurr.tracking.finding import find_run

NAMES = ("report", "compare", "leaderboard")
SHOWN = 20  # changed predictions


def add_reviewing(commands: Any) -> None:
    """Add the commands that look at runs to the parser of `blurr`.

    Args:
        commands: the object that `add_subparsers` returned.
    """
    report = commands.add_parser("report", help="write the report of a run: report.html and plots/, in its folder")
    report.add_argument("run", help="its folder, its identity, or the id of its MLflow run")
    report.set_defaults(command=_report)
    compare = commands.add_parser("compare", help="compare runs: config, metrics, predictions, significance")
    compare.add_argument("runs", nargs="+", help="two or more, named as for report; each is compared with the first")
    compare.set_defaults(command=_compare)
    board = commands.add_parser("leaderboard", help="list finished runs, the best first")
    board.add_argument("folder", nargs="?", default="outputs", help="where to search for runs (default: %(default)s)")
    board.add_argument("--experiment", help="list the runs of this MLflow experiment instead")
    for part in (report, compare, board):
        part.add_argument("--uri", help=f"the MLflow store ({WHERE})")
    board.add_argument("--by", help="the metric to sort by (default: the objective)")
    said = "which way that metric is better (default: what the runs have recorded)"
    board.add_argument("--direction", choices=("minimize", "maximize"), help=said)
    board.set_defaults(command=_leaderboard)


def _report(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.report.page import write_report

    record = Record(find_run(arguments.run, uri=arguments.uri))
    check_links(record.folder)
    page, plots = write_report(record)
    out = terminal()
    out.print(f"of the run {record.name}", soft_wrap=True)
    out.print(str(page), soft_wrap=True)
    out.print(f"{plots}/*.png", soft_wrap=True)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.report.compare import changed_predictions, config_differences, metric_differences, significance

    first, *others = records = [Record(find_run(run, uri=arguments.uri)) for run in arguments.runs]
    for record in records:
        terminal().print(f"{record.name}: {record.folder}", soft_wrap=True)
    _show("config", config_differences(records))
    _show("metrics", metric_differences(records))
    for other in others:
        changed = changed_predictions(first, other)
        _show(f"{other.name} less {first.name}", significance(first, other))
        _show(f"predicted differently: {len(changed)} rows", changed[:SHOWN])
    return 0


def _leaderboard(arguments: argparse.Namespace) -> int:
    from blurr.report.leaderboard import leaderboard, leaderboard_of_experiment

    if arguments.experiment is None:
        _show("", leaderboard(Path(arguments.folder), by=arguments.by, direction=arguments.direction))
    else:
        options = {"uri": arguments.uri, "by": arguments.by, "direction": arguments.direction}
        _show("", leaderboard_of_experiment(arguments.experiment, **options))
    return 0


def _show(title: str, frame: Any) -> None:
    from rich.table import Table

    from blurr.process.terminal import terminal

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in frame:
        table.add_column(str(name).strip(), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value)[:80] for value in row))
    terminal().print(table if len(frame) else f"{title}: no difference")
