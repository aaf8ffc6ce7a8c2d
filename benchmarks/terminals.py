"""Picture what commands show in a terminal, into docs/pictures/: `python -m benchmarks.terminals`.

Each command runs in a pseudo-terminal of 80 and of 100 columns, in an empty folder; what stands there at its end is
drawn by Chromium, both widths side by side. With names of pictures, only those are taken.
"""

import argparse
import html
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from PIL import Image

from benchmarks.browser import chromium
from benchmarks.commands import ROOT
from benchmarks.pictures import keep, opened, taken

WIDTHS = (80, 100)  # columns
ROWS = 40  # of the window; what has scrolled out of it is shown, too
MOST = 120  # lines of a picture: the last ones
SCRATCH = ("model.weights=scratch", "tracking.uri=sqlite:///mlflow.db")
COLUMNS = ("data.columns.text=review", "data.columns.label=stars")
SMALL = (*SCRATCH, "data.rows=1000")
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "terminal_help": (("blurr", "--help"),),
    "terminal_help_run": (("blurr", "run", "--help"),),
    "terminal_errors": (
        ("blurr", "runn"),
        ("blurr", "run", "model=brt"),
        ("blurr", "run", "--epochs", "3"),
        ("blurr", "run", "data=files", "data.train=reviews.csv", "data.columns.text=revew", "schedule.epochs=few"),
    ),
    "terminal_init": (("blurr", "init", "reviews.csv"),),
    "terminal_plan": (("blurr", "plan", "data=files", "data.train=reviews.csv", *COLUMNS, *SCRATCH),),
    "terminal_run": (("blurr", "run", *SMALL),),
    "terminal_sweep": (("blurr", "run", "-m", "optimizer.lr=1e-3,3e-3", "seed=1,2", "sweep.name=first", *SMALL),),
}
REVIEWS = "review,stars\n" + "".join(
    f"a {word} film number {n},{word}\n" for n in range(40) for word in ("good", "bad")
)
STYLE = """
body { margin: 0; background: #1e2329; }
pre { margin: 0; padding: 12px; color: #d8dee6; font: 14px/1.25 "DejaVu Sans Mono", "Liberation Mono", monospace; }
"""
NAMED = {"black": "#1e2329", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341", "blue": "#79c0ff"}
COLOURS = {**NAMED, "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#ffffff", "default": "#d8dee6"}
DIM = ("brightblack", "#8b949e")


def shown(command: Sequence[str], folder: Path, columns: int, screen: pyte.HistoryScreen) -> None:
    """Run a command in a pseudo-terminal, and let a screen show what it writes."""
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {' '.join(command)}\r\n".encode())
    words = [sys.executable, "-m", "blurr", *command[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    for part in written(leader):
        stream.feed(part)
    process.wait()
    os.close(leader)
    if screen.cursor.x:
        stream.feed(b"\r\n")


def written(leader: int) -> Iterator[bytes]:
    """Yield what a process writes into its terminal, until it closes it."""
    while True:
        try:
            part = os.read(leader, 1 << 16)
        except OSError:  # Linux says so where the other side is closed
            return
        if not part:
            return
        yield part


def page_of(screen: pyte.HistoryScreen) -> str:
    """Return the last lines of a screen, with those that have scrolled out of it, as a page."""
    lines = [*screen.history.top, *(screen.buffer[row] for row in range(screen.cursor.y))]
    shown = "\n".join("".join(spans(line, screen.columns)).rstrip() for line in lines[-MOST:])
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><pre>{shown}</pre>"


def spans(line: Any, columns: int) -> Iterator[str]:
    """Yield the cells of a line in HTML, those of one style together."""
    cells = [line[column] for column in range(columns)]
    for (colour, is_bold), group in groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
        text = html.escape("".join(cell.data for cell in group))
        code = dict([DIM]).get(colour) or COLOURS.get(colour) or f"#{colour}"
        style = f"color:{code}" + (";font-weight:bold" if is_bold else "")
        yield (
            text
            if (colour, is_bold) == ("default", False) or not text.strip()
            else f'<span style="{style}">{text}</span>'
        )


def picture(name: str, browser: Any, work: Path) -> None:
    """Take the picture of some commands, one after the other in one folder for each width."""
    pictures: list[Image.Image] = []
    for columns in WIDTHS:
        folder = work / name / str(columns)
        folder.mkdir(parents=True)
        (folder / "reviews.csv").write_text(REVIEWS)
        screen = pyte.HistoryScreen(columns, ROWS, history=10_000, ratio=0.5)
        for command in COMMANDS[name]:
            shown(command, folder, columns, screen)
        file = folder / "screen.html"
        file.write_text(page_of(screen), encoding="utf-8")
        with opened(browser, file.as_uri(), (9 * columns, 200)) as page:
            pictures.append(taken(page, height=sys.maxsize))
    keep(name, *pictures)


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*COMMANDS, []], default=[], help="pictures to take; all by default"
    )
    names = parser.parse_args().names or list(COMMANDS)
    with tempfile.TemporaryDirectory() as work, chromium() as browser:
        for name in names:
            picture(name, browser, Path(work))


if __name__ == "__main__":
    main()
