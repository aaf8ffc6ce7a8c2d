"""Picture what a run leaves, with Chromium, into docs/pictures/: `python -m benchmarks.pictures`.

The report of each task; the page that tries the model of each task, light, dark and on a phone; the page that says how
to call it; MLflow's pages (runs, a run's metrics, a sweep); and docs/notebook.ipynb, which is executed anew, light and
dark, as are the notebooks of docs/tutorials/. `--only notebook`, `--only mlflow`, or the name of a task or of another
notebook, takes these alone. With `--work FOLDER` the runs are kept there, and those that it has already are not made
again.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nbformat
from mlflow import MlflowClient
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.browser import chromium
from benchmarks.commands import ROOT, run, show
from benchmarks.samples import SCRATCH
from benchmarks.servers import serving
from blurr.config import paths
from blurr.report.page import write_report
from blurr.runs.record import Record

PICTURES = ROOT / "docs" / "pictures"
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
TUTORIALS = ROOT / "docs" / "tutorials"  # of whose notebooks no picture is taken: the site shows them
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LEAF = (760, 2300)  # of the notebook
COLOURS = (256, 128, 64, 32)  # fewer, where a picture would be larger than that
MOVES = 3  # of colours towards the pixels near them, without which lines of two hues become one
LARGEST = 150_000  # bytes: pictures lie in git
REPORT, SHEETS = (1180, 2000), 2800  # width and height in pixels; height with sheets of files
PAGE = (1750, 1100)
TRY = (820, 760)
PHONE = (390, 844)
TALL = 3  # phones above each other in a picture of a report
GAP = 16  # pixels between pictures that stand side by side
SETTLED = 12_000  # milliseconds until MLflow has drawn its charts
LONGEST = 240_000  # milliseconds for a page to load, on a busy machine
ASSISTANT = 445  # pixels on the right of MLflow's pages, where it offers to talk
DARK = "question_answering"  # whose report shows the dark style
BEFORE = """() => {
  let each = document.querySelector("main > nav");
  while (each.id !== "validation") { const next = each.nextElementSibling; each.remove(); each = next; }
}"""
WHOLE = {"sequence_classification", "causal_lm", "masked_lm"}  # reports that are shown from their beginning
OF_FILES = {  # whose reports end with sheets of files, which are shown
    *("image_classification", "semantic_segmentation", "object_detection"),
    *("audio_classification", "speech_recognition"),
}
NARROW = "token_classification"  # whose report is shown on a phone, too
QUESTION = "Who founded Arven?"
ANSWERS = (
    "count => document.querySelectorAll('#chat > li').length >= count && !document.querySelector('#stop:not([hidden])')"
)
SWEEP = ("model=bert,distilbert", "optimizer.lr=1e-3,3e-3", "schedule.epochs=3", "data.rows=2000", "sweep.name=first")


@contextmanager
def opened(
    browser: Browser, address: str, size: tuple[int, int], *, is_dark: bool = False, is_busy: bool = False
) -> Iterator[Page]:
    """Open a page in a window of its own; one that goes on asking its server is not waited for."""
    scheme: Any = "dark" if is_dark else "light"
    with browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme) as context:
        page = context.new_page()
        page.set_default_timeout(LONGEST)
        page.goto(address, wait_until="load" if is_busy else "networkidle")
        yield page


def taken(page: Page, *, cut: int = 0, height: int | None = None) -> Image.Image:
    """Return the picture of a page: of its window, or with a height the page itself down to that height."""
    shot = Image.open(io.BytesIO(page.screenshot(full_page=height is not None))).convert("RGB")
    return shot.crop((0, 0, shot.width - cut, min(shot.height, height or shot.height)))


def keep(name: str, *pictures: Image.Image) -> None:
    """Save pictures side by side as one, with so few colours that it stays small."""
    size = sum(each.width + GAP for each in pictures) - GAP, max(each.height for each in pictures)
    whole, left = Image.new("RGB", size, "#8a94a0"), 0
    for each in pictures:
        whole.paste(each, (left, 0))
        left += each.width + GAP
    file = PICTURES / f"{name}.png"
    PICTURES.mkdir(parents=True, exist_ok=True)
    for colours in COLOURS:
        whole.quantize(colours, kmeans=MOVES).save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            break
    show(f"{file.relative_to(ROOT)} {file.stat().st_size // 1024} kB")


def runs(work: Path, tasks: Sequence[str]) -> dict[str, Path]:
    """Run tasks, recorded in the store of one folder; gives the folders of their runs."""
    folders = {task: work / "runs" / task for task in tasks}
    for task, folder in folders.items():
        if not (folder / "metrics.json").is_file():
            run([f"task={task}", *SCRATCH], folder=folder, start=work)
    return folders


def run_sweep(work: Path) -> None:
    """Run a sweep, recorded in the same store."""
    if not (work / "multirun").is_dir():
        command = [sys.executable, "-m", "blurr.run", "-m", *SWEEP, *SCRATCH]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, timeout=1800)


def picture_report(browser: Browser, task: str, folder: Path) -> None:
    """Take the report of a task: one dark, and one on a phone, too, in pieces side by side."""
    file, _ = write_report(Record(folder))
    with opened(browser, file.as_uri(), REPORT, is_dark=task == DARK) as page:
        if task not in WHOLE:
            page.evaluate(BEFORE)
            page.set_viewport_size({"width": REPORT[0], "height": 1})  # no taller than what is left
        keep(task, taken(page, height=SHEETS if task in OF_FILES else REPORT[1]))
    if task == NARROW:
        with opened(browser, file.as_uri(), PHONE) as page:
            long, height = taken(page, height=sys.maxsize), TALL * PHONE[1]
            starts = (0, long.height // 2, long.height - height)
            keep(f"{task}_phone", *(long.crop((0, y, PHONE[0], y + height)) for y in starts))


def picture_mlflow(browser: Browser, store: str) -> None:
    """Take MLflow's pages: the runs of an experiment, a run's metrics and overview, a sweep."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("blurr").experiment_id
    listed = client.search_runs([experiment], order_by=["attributes.start_time"])  # of several, the last one counts
    summaries = [each for each in listed if each.data.tags.get("blurr.task") == "summarization"]
    summary, sweep = summaries[-1].info.run_id, {each.info.run_name: each.info.run_id for each in listed}["sweep first"]
    mode = "workflowType=machine_learning"
    pages = {  # each with what is there once it is drawn
        "mlflow_runs": (f"runs?{mode}", "text=matching runs"),
        "mlflow_run": (f"runs/{summary}?{mode}", "text=Registered models"),
        "mlflow_metrics": (f"runs/{summary}/model-metrics?{mode}", ".js-plotly-plot .main-svg"),
        "mlflow_sweep": (f"runs/{sweep}?{mode}", "text=0 model=bert"),
    }
    with serving(["mlflow", "ui", "--backend-store-uri", store, "--port"], "/health") as address:
        for name, (part, drawn) in pages.items():
            with opened(browser, f"{address}/#/experiments/{experiment}/{part}", PAGE, is_busy=True) as page:
                page.locator(drawn).first.wait_for()
                page.wait_for_timeout(SETTLED)
                keep(name, taken(page, cut=ASSISTANT))


def ask(page: Page, *questions: str) -> None:
    """Hold a conversation on the page of a server."""
    for number, question in enumerate(questions, 1):
        page.fill("#text", question)
        page.click("#send")
        page.wait_for_function(ANSWERS, arg=2 * number)


def picture_server(browser: Browser, task: str, folder: Path) -> None:
    """Take the page that tries a model, with an answer on it, light, dark and on a phone; once how to call it."""
    with serving(["blurr.cli", "serve", str(folder), "--port"], "/ready") as address, ExitStack() as pages:
        shots = []
        for size, is_dark in ((TRY, False), (TRY, True), (PHONE, False)):
            page = pages.enter_context(opened(browser, f"{address}/#try", size, is_dark=is_dark))
            if task == "chat":
                ask(page, QUESTION)
            else:
                page.locator("#answer .card").first.wait_for()
            shots.append(taken(page, height=2 * TRY[1]))
        keep(f"try_{task}", *shots)
        if task == "sequence_classification":
            page = pages.enter_context(opened(browser, f"{address}/docs", TRY))
            keep("how_to_call_it", taken(page, height=2 * TRY[1]))


def is_seen(output: Any) -> bool:
    """Return whether an output shows anything, unlike a progress bar that has been cleared."""
    return output.get("data", {}).get("text/html") not in ("", "<div></div>")


def execute_notebook(file: Path, folder: Path) -> Any:
    """Execute a notebook of the docs in an empty folder, keep its outputs in it without that folder's name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    notebook = nbformat.read(file, as_version=4)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    client = NotebookClient(notebook, timeout=600, coalesce_streams=True, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = list(filter(is_seen, cell.outputs))
        for output in cell.get("outputs", []):
            for kind in ("text/markdown", "image/jpeg"):  # what its HTML says, or its PNG shows, too
                output.get("data", {}).pop(kind, None)
    file.write_text(nbformat.writes(notebook).replace(str(folder), "/home/you") + "\n", encoding="utf-8")
    return nbformat.read(file, as_version=4)


def picture_notebook(browser: Browser, folder: Path) -> None:
    """Take the executed notebook, light and dark."""
    notebook, shots = execute_notebook(NOTEBOOK, folder), []
    for theme in ("light", "dark"):
        page, _ = HTMLExporter(theme=theme).from_notebook_node(notebook)
        file = folder / f"{theme}.html"
        file.write_text(page, encoding="utf-8")
        with opened(browser, file.as_uri(), (LEAF[0], PAGE[1]), is_dark=theme == "dark") as shown:
            shots.append(taken(shown, height=LEAF[1]))
    keep("notebook", *shots)


def main() -> None:
    """Run what is to be seen, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="the folder to keep the runs in")
    tasks = list(paths.options("task"))
    names = ["mlflow", "notebook", *(file.stem for file in TUTORIALS.glob("*.ipynb")), *tasks]
    parser.add_argument("--only", choices=names, action="append", help="take these alone")
    asked = parser.parse_args()
    given, only = asked.work, asked.only or []
    with tempfile.TemporaryDirectory() as empty, chromium() as browser:
        work = (given or Path(empty)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        if not only or "notebook" in only:
            picture_notebook(browser, work / "notebook")
        for file in sorted(TUTORIALS.glob("*.ipynb")):
            if not only or file.stem in only:
                execute_notebook(file, work / file.stem)
        folders = runs(work, [task for task in tasks if not only or task in only or "mlflow" in only])
        for task, folder in folders.items():
            if not only or task in only:
                picture_report(browser, task, folder)
                picture_server(browser, task, folder)
        if not only or "mlflow" in only:
            run_sweep(work)
            picture_mlflow(browser, f"sqlite:///{work}/mlflow.db")


if __name__ == "__main__":
    main()
