"""`blurr track`: bring what a run recorded into MLflow after the run."""

import argparse
from pathlib import Path
from typing import Any


def add_track(commands: Any) -> None:
    """Add `track` and its command to the parser of `blurr`.

    Args:
        commands: what `add_subparsers` gave.
    """
    track = commands.add_parser("track", help="send MLflow what it missed of a run: track sync <output_dir>")
    parts = track.add_subparsers(title="commands", required=True, metavar="COMMAND")
    part = parts.add_parser("sync", help="send what is in a run's folder and not in MLflow; twice does no harm")
    part.add_argument("folder", type=Path, help="the run's output_dir")
    part.add_argument("--uri", help="MLflow's address, where it has a password or has changed")
    part.set_defaults(command=_sync)


def _sync(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.tracking.sync import sync  # MLflow takes seconds to import

    left = sync(arguments.folder, uri=arguments.uri)
    terminal().print(f"{left} records were refused or did not arrive." if left else "MLflow has everything.")
    return 1 if left else 0
