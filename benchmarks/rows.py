"""Measure what many rows cost: `python -m benchmarks.rows --folder SCRATCH [--rows 10000,100000,1000000]`.

Rows of two classes, of words drawn at random, are written into a csv file in SCRATCH, which is kept. `blurr run`
then trains a small BERT on them for a hundred steps, in a process of its own and with an empty cache, and again with
the cache that the first run has left. Memory is the highest resident size of the process; and that without pages of
files, which the system takes back where it needs them (Linux alone says it). The first line, with few rows, says what
a run needs besides its rows.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import ROOT, line, markdown, show
from benchmarks.measuring import machine

FEW, STEPS, WORDS, MOST = 1_000, 100, 5_000, 30
HEADER = [
    *("rows", "file, MB", "cache", "CPU s", "CPU us a row", "seconds"),
    *("peak, MB", "above few rows, MB", "peak without files, MB", "above few rows, MB"),
]
SCRATCH = [
    *("model=bert", "model.weights=scratch", "model.scratch_vocab=4000", "model.scratch.hidden_size=64"),
    *("model.scratch.num_hidden_layers=1", "model.scratch.num_attention_heads=2", "model.scratch.intermediate_size=64"),
]


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of a processor and of the clock, and in MB its highest memory, all and its own."""

    cpu: float
    seconds: float
    peak: float
    own: float


def written(folder: Path, rows: int) -> Path:
    """Write a csv file of so many rows, unless it is there."""
    file = folder / f"{rows}.csv"
    if not file.exists():
        rng, aside = random.Random(rows), folder / "unfinished.csv"
        words = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in "bdfgklmnprstvz" * 6][:WORDS]
        with aside.open("w") as out:
            out.write("text,label\n")
            for _ in range(rows):
                text = " ".join(rng.choices(words, k=rng.randint(5, MOST)))
                out.write(f"{text},{rng.choice(('good', 'bad'))}\n")
        aside.rename(file)
    return file


def cost_of(folder: Path, rows: int) -> Cost:
    """Train on a file of so many rows: a model from scratch, which all later runs begin with."""
    out, model = folder / "run", folder / "model"
    chosen = ["model=auto", f"model.name={model}"] if model.exists() else SCRATCH
    words = [
        *(f"data.train={written(folder, rows)}", f"data.valid={written(folder, FEW)}", "data=files", *chosen),
        *(f"schedule.steps={STEPS}", "tracking=none", "report=false", f"output_dir={out}", "overwrite=true"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "BLURR_CACHE": str(folder / "cache")}
    start = time.monotonic()
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "blurr.run", *words],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
        )
        own = 0.0
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            own = max(own, own_memory(process.pid))
            time.sleep(0.02)
    if status:
        raise RuntimeError(f"{' '.join(words)} failed: {(folder / 'said.txt').read_text()[-1000:]}")
    if not model.exists():
        (out / "model").rename(model)
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - start, used.ru_maxrss / 1024, own)


def own_memory(pid: int) -> float:
    """Return the megabytes of a process that are of no file."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0  # it has ended and waits to be noticed


def main() -> None:
    """Measure each number of rows with an empty and a full cache, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", default="10000,100000,1000000")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    _, base = cost_of(given.folder, FEW), cost_of(given.folder, FEW)
    table: list[list[str]] = []
    for rows in [FEW, *map(int, given.rows.split(","))]:
        for cache in ("empty", "full"):
            if cache == "empty":
                subprocess.run(["rm", "-rf", str(given.folder / "cache")], check=True)
            found = cost_of(given.folder, rows)
            size = written(given.folder, rows).stat().st_size / 1e6
            each = 1e6 * (found.cpu - base.cpu) / rows
            table.append(
                [
                    *(f"{rows:,}", f"{size:.1f}", cache, f"{found.cpu:.1f}", f"{each:.1f}"),
                    *(f"{found.seconds:.1f}", f"{found.peak:.0f}", f"{found.peak - base.peak:.0f}"),
                    *(f"{found.own:.0f}", f"{found.own - base.own:.0f}"),
                ]
            )
            show(line(table[-1]))
    show(f"\n{machine()}\n\n{markdown(HEADER, table)}")


if __name__ == "__main__":
    main()
