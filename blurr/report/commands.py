"""`blurr report`: write the report of a run."""

import argparse
from typing import Any


NAMES = ("report",)


def add_reviewing(commands: Any) -> None:
    """Add the commands that look at runs to the parser of `blurr`.

    Args:
        commands: what `add_subparsers` gave.
    """
    report = commands.add_parser("report", help="write the report of a run: report.html and plots/, in its folder")
    report.add_argument("run", help="its folder, or the id of its MLflow run")
    _add_uri(report)
    report.set_defaults(command=_report)


def _add_uri(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", help="the MLflow store (default: mlflow.db in this folder)")


def _report(arguments: argparse.Namespace) -> int:
    from blurr.report.page import write_report
    from blurr.report.record import read_record
    from blurr.sweep.board import terminal

    page, plots = write_report(read_record(arguments.run, uri=arguments.uri))
    out = terminal()
    out.print(str(page), soft_wrap=True)
    out.print(f"{plots}/*.png", soft_wrap=True)
    return 0
