"""`blurr track sync`: send MLflow what it missed."""

import argparse
from pathlib import Path

from blurr.process.arguments import Commands


def add_track(commands: Commands) -> None:
    """Add `track` to the commands of `blurr`."""
    track = commands.add(
        "track",
        "send MLflow the records of a run that it missed",
        examples=["blurr track sync outputs/mine"],
        part="about records",
    )
    part = Commands(track).add(
        "sync",
        "send what a run's folder has and MLflow does not; safe to repeat",
        _sync,
        examples=["blurr track sync outputs/mine"],
    )
    part.add_argument("folder", metavar="RUN", type=Path, help="the run's output_dir")
    said = "address of MLflow, if it has a password or has changed (default: the one that the run was opened with)"
    part.add_argument("--uri", help=said)


def _sync(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.tracking.sync import sync

    left = sync(arguments.folder, uri=arguments.uri)
    terminal().print(f"{left} records were refused or did not arrive." if left else "MLflow has everything.")
    return 1 if left else 0
