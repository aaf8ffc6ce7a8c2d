"""Read wide and large csv files, each in a process of its own: `python -m benchmarks.reading [--gib 2.3]`."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import ROOT, markdown, show
from benchmarks.measuring import machine
from blurr.data.formats.content import FileOptions
from blurr.data.readers import read_files

COLUMNS, ROWS = (100, 1_000, 10_000), 200
BLOCK = 100_000  # rows of a large file that are repeated
TEXT = "This is a good, long text with some more words, so that a row is as long as a review often is"


def wide(file: Path, columns: int) -> None:
    """Write a file of so many columns, two of which are a text and a label."""
    names = ["text", "label", *(f"measurement_{number}" for number in range(columns - 2))]
    with file.open("w") as out:
        out.write(",".join(names) + "\n")
        for row in range(ROWS):
            values = (str(row * number % 97) for number in range(columns - 2))
            out.write(",".join([f"a good text {row}", "ab"[row % 2], *values]) + "\n")


def large(file: Path, gib: float) -> None:
    """Write a file of so many GiB, whose texts stand in quotes."""
    block = "".join(f'"{TEXT} {row}",{"ab"[row % 2]}\n' for row in range(BLOCK))
    with file.open("w") as out:
        out.write("text,label\n")
        while out.tell() < gib * 2**30:
            out.write(block)


def measure(file: Path) -> None:
    """Read a file, and print the seconds and the peak of the memory, in GiB."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    read_files(file, FileOptions())
    taken, peak = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(f"{taken:.2f} {peak / 2**20:.2f}")


def row_of(name: str, file: Path) -> list[str]:
    """Give a row of the table."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.reading", "--file", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [name, f"{file.stat().st_size / 2**20:,.1f}", *said.split()]


def rows_of_table(folder: Path, gib: float) -> Iterator[list[str]]:
    """Give the rows of the table; each file is deleted once it has been read."""
    file = folder / "rows.csv"
    for columns in COLUMNS:
        wide(file, columns)
        yield row_of(f"{ROWS} rows of {columns:,} columns", file)
    if gib:
        large(file, gib)
        yield row_of("two columns", file)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=0.0, help="read a file of so many GiB, too")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file:
        measure(given.file)
        return
    show(machine())
    with tempfile.TemporaryDirectory() as folder:
        rows = list(rows_of_table(Path(folder), given.gib))
    show(markdown(["file", "MiB", "CPU seconds", "GiB at the peak, without what was loaded before"], rows))


if __name__ == "__main__":
    main()
