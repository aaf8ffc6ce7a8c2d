"""Picture the report of a small run of each task: `python -m benchmarks.pictures`, with Chromium, into docs/pictures/.

With `--runs FOLDER` no run is made: the folder has one run for each task, by the task's name.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.commands import ROOT, run, show
from blurr import paths
from blurr.report.page import write_report
from blurr.report.record import read_record

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT, COLOURS = 1180, 3200, 64
DARK = "question_answering"  # one picture shows the dark style


def picture(task: str, folder: Path) -> Path:
    """Take the picture of a run's report, cut at its height and with few colours, so that it stays small."""
    page, _ = write_report(read_record(folder))
    file = PICTURES / f"{task}.png"
    PICTURES.mkdir(parents=True, exist_ok=True)
    dark = ["--blink-settings=preferredColorScheme=0"] if task == DARK else []
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *dark]
        command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}", "--virtual-time-budget=2000"]
        command += [f"--screenshot={file}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(file) as taken:
        taken.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    return file


def main() -> None:
    """Run each task where no runs are given, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="the folder of runs that are there already")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as empty:
        for task in paths.options("task"):
            words = [f"task={task}", "model.weights=scratch", "tracking=none"]
            folder = runs / task if runs else run(words, folder=Path(empty) / task).folder
            taken = picture(task, folder)
            show(f"{taken.relative_to(ROOT)} {taken.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
