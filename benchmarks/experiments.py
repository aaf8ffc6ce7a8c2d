"""Print the table of `experiments/README.md` from the experiments' own headers: `python -m benchmarks.experiments`."""

import re
import sys
from pathlib import Path

from blurr.config import paths

HEADER = re.compile(r"# @package _global_\n# (?P<claim>.+)\n# (?P<command>blurr run .+)\n# (?P<result>.+)\n")


def table() -> str:
    """Make a Markdown table: a row for each experiment that comes with blurr."""
    files = sorted(paths.shipped_folder(paths.EXPERIMENTS).glob("*.yaml"))
    return "\n".join(["| name | claim | command | result |", "|---|---|---|---|", *map(_row, files)])


def _row(file: Path) -> str:
    header = HEADER.match(file.read_text(encoding="utf-8"))
    if header is None:
        raise ValueError(f"{file} must open with its package, its claim, its command and its result, a line each.")
    return f"| {file.stem} | {header['claim']} | `{header['command']}` | {header['result']} |"


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
