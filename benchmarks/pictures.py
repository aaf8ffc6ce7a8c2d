"""Picture what a run leaves, with Chromium, into docs/pictures/: `python -m benchmarks.pictures`.

The report of each task, the pages of MLflow (runs, a run's metrics, a sweep) and the page that tries a model. With
`--work FOLDER` the runs are kept there, and those that it has already are not made again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from PIL import Image

from benchmarks.commands import ROOT, run, show
from benchmarks.servers import SECONDS, free_port
from blurr.config import paths
from blurr.report.page import write_report
from blurr.runs.record import Record

PICTURES = ROOT / "docs" / "pictures"
PROFILE = Path(tempfile.gettempdir(), "blurr-pictures-chromium")
TRIES = 3
COLOURS = 64
REPORT = (1180, 3200)  # width and height in pixels
PAGE = (1750, 1100)
TRY = (820, 760)
ASSISTANT = 445  # pixels on the right of MLflow's pages, where it offers to talk
DARK = "question_answering"  # one picture shows the dark style
SWEEP = ("model=bert,distilbert", "optimizer.lr=1e-3,3e-3", "schedule.epochs=3", "data.rows=2000", "sweep.name=first")


def take(name: str, address: str, size: tuple[int, int], *, is_dark: bool = False, cut: int = 0) -> None:
    """Take the picture of a page, cut at its height and on the right, with few colours, so that it stays small."""
    file = PICTURES / f"{name}.png"
    PICTURES.mkdir(parents=True, exist_ok=True)
    dark = ["--blink-settings=preferredColorScheme=0"] if is_dark else []
    # one profile for all: a page whose scripts are there already is drawn in time
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *dark]
    command += [f"--user-data-dir={PROFILE}", f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=10000"]
    for _ in range(TRIES):
        try:
            subprocess.run([*command, f"--screenshot={file}", address], check=True, capture_output=True, timeout=40)
            break
        except subprocess.TimeoutExpired:
            continue  # once in a while Chromium waits for a page for ever
    else:
        raise RuntimeError(f"{address} cannot be pictured")
    with Image.open(file) as taken:
        seen = taken.convert("RGB").crop((0, 0, taken.width - cut, taken.height))
        seen.quantize(COLOURS).save(file, optimize=True)
    show(f"{file.relative_to(ROOT)} {file.stat().st_size // 1024} kB")


@contextmanager
def serving(words: Sequence[str], path: str) -> Iterator[str]:
    """Start a server, with the port as its last word, and wait until it answers; gives its address."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words, str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(2 * SECONDS):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def runs(work: Path) -> dict[str, Path]:
    """Run each task and a sweep, recorded in the store of one folder; gives the folders of the tasks' runs."""
    scratch = ["model.weights=scratch", "tracking.uri=sqlite:///mlflow.db"]
    folders = {task: work / "runs" / task for task in paths.options("task")}
    for task, folder in folders.items():
        if not (folder / "metrics.json").is_file():
            run([f"task={task}", *scratch], folder=folder, start=work)
    if not (work / "multirun").is_dir():
        command = [sys.executable, "-m", "blurr.run", "-m", *SWEEP, *scratch]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, timeout=1800)
    return folders


def picture_mlflow(store: str) -> None:
    """Take MLflow's pages: the runs of an experiment, a run's metrics and overview, a sweep."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("blurr").experiment_id
    listed = client.search_runs([experiment], order_by=["attributes.start_time"])  # of several, the last one counts
    found = {each.info.run_name: each.info.run_id for each in listed}
    mode = "workflowType=machine_learning"
    pages = {
        "mlflow_runs": f"runs?{mode}",
        "mlflow_run": f"runs/{found['bart summarization sample']}?{mode}",
        "mlflow_metrics": f"runs/{found['bart summarization sample']}/model-metrics?{mode}",
        "mlflow_sweep": f"runs/{found['sweep first']}?{mode}",
    }
    with serving(["mlflow", "ui", "--backend-store-uri", store, "--port"], "/health") as address:
        for name, page in [*pages.items(), *pages.items()]:  # again, now that their scripts are there
            take(name, f"{address}/#/experiments/{experiment}/{page}", PAGE, cut=ASSISTANT)


def picture_server(folder: Path) -> None:
    """Take the page that tries a model, with an answer on it, and the one that says how to call it."""
    with serving(["blurr.cli", "serve", str(folder), "--port"], "/ready") as address:
        take("try_it", f"{address}/#try", TRY)
        take("how_to_call_it", f"{address}/docs", TRY)


def main() -> None:
    """Run what is to be seen, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="the folder to keep the runs in")
    given = parser.parse_args().work
    with tempfile.TemporaryDirectory() as empty:
        work = (given or Path(empty)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        store = f"sqlite:///{work}/mlflow.db"
        folders = runs(work)
        for task, folder in folders.items():
            page, _ = write_report(Record(folder))
            take(task, page.as_uri(), REPORT, is_dark=task == DARK)
        picture_mlflow(store)
        picture_server(folders["sequence_classification"])


if __name__ == "__main__":
    main()
