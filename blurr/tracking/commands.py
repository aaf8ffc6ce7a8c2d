"""`blurr ui` and `blurr track sync`: show MLflow's pages, and send MLflow what it missed."""

import argparse
import sys
from pathlib import Path

from blurr.config.store import WHERE
from blurr.process.arguments import Commands
from blurr.process.next_steps import command, show_next


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


def add_ui(commands: Commands) -> None:
    """Add `ui` to the commands of `blurr`."""
    ui = commands.add(
        "ui",
        "open MLflow's pages on this folder's runs",
        _ui,
        about="It serves the store that runs of this folder are recorded in, until Ctrl-C.",
        examples=["blurr ui", "blurr ui --port 5001 --experiment reviews"],
        part="to look at runs",
    )
    ui.add_argument("--uri", help=f"the MLflow store ({WHERE})")
    ui.add_argument("--experiment", metavar="NAME", help="what to open (default: the experiment of a run)")
    ui.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    ui.add_argument("--port", type=int, default=5000, help="0 takes a free one")
    ui.add_argument("--no-browser", action="store_true", help="say the address alone")


def _ui(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import rest
    from blurr.tracking import ui

    def say(page: str) -> None:
        rest()
        sys.stdout.write(f"{page}\n")
        sys.stdout.flush()
        if not arguments.no_browser:
            ui.open_browser(page)
        sys.stderr.write("ready; Ctrl-C ends it\n")

    ui.serve(arguments.uri, arguments.host, arguments.port, experiment=arguments.experiment, say=say)
    return 0


def _sync(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.tracking.sync import sync

    left = sync(arguments.folder, uri=arguments.uri)
    terminal().print(f"{left} records were refused or did not arrive." if left else "MLflow has everything.")
    show_next({"look": command("ui"), "report": command("report", arguments.folder)})
    return 1 if left else 0
