"""`blurr report`, `blurr compare` and `blurr leaderboard`: look at finished runs."""

import argparse
from pathlib import Path
from typing import Any

from blurr.config.store import WHERE
from blurr.process.arguments import Commands, Parser

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
